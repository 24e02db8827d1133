"""Merkle trees against the reference vectors of Certificate Transparency, and paths that lie."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto.merkle import MerkleTree, check_path, leaf_hash
from troth.errors import PeerError
from troth.ids import NodeId

SENDER = NodeId("party-1")

# google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc: the tree of RFC 6962.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def refuses(root, size, index, leaf, path):
    with pytest.raises(PeerError, match="wrong Merkle path") as caught:
        check_path(root, size, index, leaf, path, sender=SENDER)
    assert caught.value.culprits == (SENDER,)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots(size):
    assert MerkleTree(LEAVES[:size]).root.hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "path"), PATHS)
def test_paths(index, size, path):
    tree = MerkleTree(LEAVES[:size])
    assert [sibling.hex() for sibling in tree.path(index)] == path
    siblings = [bytes.fromhex(text) for text in path]
    check_path(tree.root, size, index, LEAVES[index], siblings, sender=SENDER)


def plain_root(leaves):
    """RFC 6962, 2.1, as it is written."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_a_path_holds_for_its_leaf_alone(leaves, data):
    tree, size = MerkleTree(leaves), len(leaves)
    assert tree.root == plain_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    path = tree.path(index)
    check_path(tree.root, size, index, leaves[index], path, sender=SENDER)
    refuses(tree.root, size, index, leaves[index] + b"x", path)
    refuses(tree.root, size, index, leaves[index], [*path, bytes(32)])
    refuses(bytes(32), size, index, leaves[index], path)
    for wrong in range(size):
        if leaves[wrong] != leaves[index]:
            refuses(tree.root, size, wrong, leaves[index], path)
    for place in range(len(path)):
        changed = list(path)
        changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
        refuses(tree.root, size, index, leaves[index], changed)
        refuses(tree.root, size, index, leaves[index], path[:place])


def test_an_inner_node_is_no_leaf():
    tree = MerkleTree([b"a", b"b", b"c", b"d"])
    pair = leaf_hash(b"a") + leaf_hash(b"b")
    shorter = tree.path(0)[1:]
    refuses(tree.root, 2, 0, pair, shorter)
    refuses(tree.root, 2, 0, b"\x01" + pair, shorter)


@pytest.mark.parametrize("index", [-1, 3, 10**9])
def test_there_is_no_leaf_outside(index):
    tree = MerkleTree([b"a", b"b", b"c"])
    refuses(tree.root, 3, index, b"a", tree.path(0))
    with pytest.raises(IndexError):
        tree.path(index)


def test_a_tree_without_leaves_has_no_root():
    with pytest.raises(ValueError, match="at least one leaf"):
        MerkleTree([])
