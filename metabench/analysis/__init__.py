"""What search runs show: statistics, figures and the report.

Run folders are read in ``runs``, brought together in ``comparison``, and described in one document by ``report``. The
statistics themselves (``statistics``, ``significance``, ``aggregate``, ``pareto``) are pure functions of arrays. A page
(``page``), figures (``paper``) and an Optuna storage (``optuna_export``) are made from the document or the runs.
"""
