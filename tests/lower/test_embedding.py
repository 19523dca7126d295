import numpy as np
import pytest

from tests.graphs import graph, integers, node
from toolkit.errors import NumericsError
from toolkit.lower.embedding import find_embeddings

TABLE = integers(0, 7, 4)
IDS = {"ids": ["batch", "length"]}


def test_a_lookup():
    (found,) = find_embeddings(graph([node("Gather", ["table", "ids"], "y")], {"table": TABLE}, IDS).graph)
    assert (found.name, found.indices, found.output, found.node) == ("table", "ids", "y", "n.y")
    np.testing.assert_array_equal(found.table, TABLE)


def test_two_lookups_in_one_table():
    nodes = [
        node("Gather", ["table", "ids"], "a"),
        node("Neg", ["ids"], "n"),
        node("Gather", ["table", "n"], "b"),
        node("Add", ["a", "b"], "y"),
    ]
    found = find_embeddings(graph(nodes, {"table": TABLE}, IDS).graph)
    assert [each.output for each in found] == ["a", "b"]


def test_what_is_no_embedding():
    def none_in(nodes: list, constants: dict) -> bool:
        return find_embeddings(graph(nodes, constants, {**IDS, "x": ["rows", 4]}).graph) == ()

    assert none_in([node("Gather", ["table", "ids"], "y", axis=1)], {"table": TABLE})
    assert none_in([node("Gather", ["table", "ids"], "y")], {"table": TABLE[0]})
    assert none_in([node("Gather", ["table", "ids"], "y")], {"table": TABLE.astype(np.int64)})
    assert none_in([node("Gather", ["table", "one"], "y")], {"table": TABLE, "one": np.array([1])})
    assert none_in([node("Gather", ["x", "ids"], "y")], {})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_name(bad):
    table = TABLE.copy()
    table[2] = bad
    model = graph([node("Gather", ["table", "ids"], "y")], {"table": table}, IDS)
    with pytest.raises(NumericsError, match="where: table\n  got: 4 of 28 numbers"):
        find_embeddings(model.graph)
