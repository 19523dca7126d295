"""The greedy search on tables that are written down, not measured."""

import numpy as np
import pytest

from toolkit.fallback.costs import Costs
from toolkit.fallback.rungs import Unit
from toolkit.fallback.search import Room, steps, until
from toolkit.fallback.sensitivity import Table
from toolkit.forms import Profile

ANY = Room(float("inf"))


def table(noise, cost, size=None):
    noise, cost = np.array(noise, float), np.array(cost, float)
    sizes = np.zeros_like(noise) if size is None else np.array(size, float)
    units = tuple(Unit((number,), ()) for number in range(len(noise)))
    costs = Costs(cost[:, :, None], (Profile(name="one", batch=1, length=16, weight=1),), "written down", measured=True)
    return Table(units, (), noise, costs, costs.shares, sizes)


def test_the_step_that_takes_most_noise_for_its_time_comes_first():
    made = table(noise=[[4, 0], [3, 0], [1, 0]], cost=[[1, 5], [1, 2], [1, 3]])
    assert list(steps(made, ANY)) == [[0, 1, 0], [1, 1, 0], [1, 1, 1]]


def test_a_step_that_costs_nothing_comes_before_one_that_does():
    made = table(noise=[[4, 3, 0], [9, 9, 0]], cost=[[1, 1, 2], [1, 1, 2]])
    assert list(steps(made, ANY))[:2] == [[1, 0], [1, 2]]


def test_a_step_that_takes_next_to_nothing_waits_for_those_that_matter():
    made = table(noise=[[0.01, 0], [9, 0]], cost=[[1, 1], [1, 9]])
    assert list(steps(made, ANY)) == [[0, 1], [1, 1]]


def test_int8_that_is_slower_and_worse_than_float_goes_at_once():
    made = table(noise=[[1, 0], [1, 0]], cost=[[1, 2], [3, 2]])
    assert next(iter(steps(made, ANY))) == [0, 1]


def test_what_makes_no_less_noise_is_no_step():
    assert list(steps(table(noise=[[1, 2, 1]], cost=[[1, 2, 3]]), ANY)) == []


@pytest.mark.parametrize(
    ("room", "last"), [(Room(0), [0, 0]), (Room(5), [0, 1]), (Room(100, (2.0,)), [0, 1]), (Room(100, (9.0,)), [1, 1])]
)
def test_what_does_not_fit_is_left_out(room, last):
    made = table(noise=[[9, 0], [1, 0]], cost=[[1, 5], [1, 2]], size=[[10, 40], [10, 15]])
    assert [[0, 0], *steps(made, room)][-1] == last


def test_needless_steps_are_taken_back():
    """The cheap unit comes first for its time, and the dear one makes it needless: the other way round it stays."""
    made = table(noise=[[4, 0], [6, 0]], cost=[[1, 2], [1, 3]])
    assert until(made, ANY, lambda levels: levels[1] == 1) == [0, 1]
    assert until(made, ANY, lambda levels: sum(levels) == 2) == [1, 1]


def test_the_last_levels_are_returned_where_nothing_reaches():
    made = table(noise=[[4, 0], [6, 0]], cost=[[1, 2], [1, 3]])
    assert until(made, ANY, lambda _: False) == [1, 1]
    assert until(made, Room(-1), lambda _: False) == [0, 0]
