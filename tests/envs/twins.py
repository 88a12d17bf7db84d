"""Slow twins in plain Python, written from the specification: one task, one step at a time, no tables.

Each has ``reset() -> observation`` and ``step(action, *noise) -> (observation, reward)``; noise is what chance draws.
"""

import math

MOVES = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1), 4: (-1, 0)}


class GridTwin:
    def __init__(self, goal: tuple[int, int], size: int = 5) -> None:
        self.goal, self.size = goal, size

    def reset(self) -> tuple[int, int]:
        self.place = (0, 0)
        return self.place

    def step(self, action: int) -> tuple[tuple[int, int], float]:
        dx, dy = MOVES[action]
        x, y = self.place[0] + dx, self.place[1] + dy
        if 0 <= x < self.size and 0 <= y < self.size:
            self.place = (x, y)
        return self.place, 1.0 if self.place == self.goal else -0.1


class RoomsTwin:
    MAP = (
        "...###...###...",
        "...............",
        "...###...###...",
    )

    def __init__(self, goals: tuple[tuple[int, int], ...]) -> None:
        self.goals = goals

    def reset(self) -> tuple[int, int]:
        self.place, self.first, self.second = (7, 1), False, False
        return self.place

    def step(self, action: int) -> tuple[tuple[int, int], float]:
        dx, dy = MOVES[action]
        x, y = self.place[0] + dx, self.place[1] + dy
        if 0 <= x < 15 and 0 <= y < 3 and self.MAP[y][x] == ".":
            self.place = (x, y)
        reward = -0.1
        if self.place == self.goals[0]:
            self.first = True
            reward = 1.0
        elif self.place == self.goals[1] and self.first:
            self.second = True
            reward = 10.0
        elif self.place == self.goals[2] and self.second:
            reward = 100.0
        return self.place, reward


class TreasureTwin:
    def __init__(self, angle: float) -> None:
        self.treasure = (math.cos(angle), math.sin(angle))

    def reset(self) -> tuple[float, ...]:
        self.x, self.y = 0.0, -1.0
        return self._observe()

    def _observe(self) -> tuple[float, ...]:
        return (self.x, self.y, *(self.treasure if math.hypot(self.x, self.y) <= 0.1 else (0.0, 0.0)))

    def step(self, action: tuple[float, float]) -> tuple[tuple[float, ...], float]:
        self.x = min(1.5, max(-1.5, self.x + 0.1 * action[0]))
        self.y = min(1.5, max(-1.5, self.y + 0.1 * action[1]))
        distance = math.hypot(self.x, self.y)
        if distance <= 0.5:
            reward = (distance - 0.5) - 5
        elif math.hypot(self.x - self.treasure[0], self.y - self.treasure[1]) <= 0.1:
            reward = 10.0
        else:
            reward = -5 * max(1.0, distance)
        return self._observe(), reward


class PointTwin:
    def __init__(self, angle: float) -> None:
        self.goal = (math.cos(angle), math.sin(angle))

    def reset(self) -> tuple[float, float]:
        self.x = self.y = 0.0
        return self.x, self.y

    def step(self, action: tuple[float, float]) -> tuple[tuple[float, float], float]:
        self.x, self.y = self.x + 0.1 * action[0], self.y + 0.1 * action[1]
        distance = math.hypot(self.x - self.goal[0], self.y - self.goal[1])
        return (self.x, self.y), 1 - distance if distance <= 0.2 else 0.0


class BanditTwin:
    def __init__(self, chances: list[float]) -> None:
        self.chances = chances

    def reset(self) -> tuple[float]:
        return (0.0,)

    def step(self, action: int, uniform: float) -> tuple[tuple[float], float]:
        return (0.0,), 1.0 if uniform < self.chances[action] else 0.0


class TabularTwin:
    def __init__(self, task: list[list[list[float]]]) -> None:
        self.task = task

    def reset(self) -> list[float]:
        self.state = 0
        return self._observe()

    def _observe(self) -> list[float]:
        return [1.0 if i == self.state else 0.0 for i in range(len(self.task))]

    def step(self, action: int, uniform: float, noise: float) -> tuple[list[float], float]:
        *chances, mean = self.task[self.state][action]
        total = 0.0
        for state, chance in enumerate(chances):
            self.state = state
            total += chance
            if uniform < total:
                break
        return self._observe(), mean + noise


class PlaygroundTwin:
    """Keeps the whole history of the episode and looks back ``delay`` steps, as the definition says."""

    def __init__(
        self, moves: list[int], rewarded: set[tuple[int, ...]], irrelevant: list[list[int]], delay: int, length: int
    ) -> None:
        self.moves, self.rewarded, self.irrelevant, self.delay, self.length = moves, rewarded, irrelevant, delay, length

    def reset(self, state: int, features: list[int]) -> list[float]:
        self.visited, self.features = [state], list(features)
        return self._observe()

    def _observe(self) -> list[float]:
        return [float(i == at) for at in (self.visited[-1], *self.features) for i in range(8)]

    def step(self, action: int, slip: int, noise: float) -> tuple[list[float], float]:
        following = (self.moves[8 * self.visited[-1] + action] + slip) % 8
        self.visited.append(following)
        self.features = [table[8 * at + action] for table, at in zip(self.irrelevant, self.features, strict=True)]
        end = len(self.visited) - self.delay
        window = tuple(self.visited[max(0, end - self.length) : max(0, end)])
        # The start state alone is no step's result, so it cannot be paid for.
        paid = end >= 2 and window in self.rewarded
        return self._observe(), float(paid) + noise
