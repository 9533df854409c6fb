"""Which block of the student learns from which block of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


def map_layers(
    layers: Sequence[int],
    teacher_depth: int,
    student_depth: int,
    mapping: Literal["last", "reference"] = "last",
) -> list[int]:
    """The student's block for each of the teacher's blocks ``layers``, from 0, ascending.

    The cheapest one-to-one assignment between ``l / teacher_depth`` and ``linspace(0, 1, student_depth)``, as in the
    method's reference implementation. With ``mapping="last"`` the teacher's last block teaches the student's last block
    first, so that every block of the student is trained.

    Raises
    ------
    ValueError
        Where there are more layers than the student has blocks.
    """
    layers = list(layers)
    if len(layers) > student_depth:
        raise ValueError(f"the student has {student_depth} blocks, too few for the layers {layers}")
    if mapping == "last" and layers and layers[-1] == teacher_depth - 1:
        return [*_cheapest(layers[:-1], teacher_depth, student_depth, student_depth - 1), student_depth - 1]
    return _cheapest(layers, teacher_depth, student_depth, student_depth)


def _cheapest(layers: list[int], teacher_depth: int, student_depth: int, blocks: int) -> list[int]:
    """The cheapest assignment to the student's first ``blocks`` blocks, by the method of Kuhn and Munkres.

    Assignments may cost the same: the order of the steps is the Rust program's, so that both choose alike.
    """
    # Times teacher_depth * (student_depth - 1), all costs are whole numbers.
    last = max(student_depth - 1, 1)
    gains = [[-abs(layer * last - block * teacher_depth) for block in range(blocks)] for layer in layers]
    rows, columns = [max(row) for row in gains] if gains else [], [0] * blocks
    of_row, of_column = [None] * len(layers), [None] * blocks
    for root in range(len(layers)):
        seen, came_from = [root], [None] * blocks
        slack = [rows[root] + columns[block] - gains[root][block] for block in range(blocks)]
        slack_row = [root] * blocks
        while True:
            open_blocks = [block for block in range(blocks) if came_from[block] is None]
            block = min(open_blocks, key=lambda block: slack[block])
            delta, row = slack[block], slack_row[block]
            if delta > 0:
                for each in seen:
                    rows[each] -= delta
                for each in range(blocks):
                    if came_from[each] is None:
                        slack[each] -= delta
                    else:
                        columns[each] += delta
            came_from[block] = row
            if of_column[block] is None:
                break
            row = of_column[block]
            seen.append(row)
            for each in range(blocks):
                other = rows[row] + columns[each] - gains[row][each]
                if came_from[each] is None and slack[each] > other:
                    slack[each], slack_row[each] = other, row
        while block is not None:
            row = came_from[block]
            of_column[block] = row
            of_row[row], block = block, of_row[row]
    return of_row
