"""The files of each published data set, with the hashes they are checked against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFile:
    """A file of a published data set. Hashes are SHA-256, in hexadecimal."""

    path: str
    """Relative to the folder that TROTH_DATA names."""
    content_bytes: int
    content_sha256: str
    """Of the unpacked bytes, where the name ends in `.gz`; else of the file."""
    file_sha256: str | None = None
    """Of the packed file, as first published: spares unpacking it to check it."""


FILES: dict[str, tuple[PublishedFile, ...]] = {
    "mnist": (
        PublishedFile(
            "mnist/train-images-idx3-ubyte.gz",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        PublishedFile(
            "mnist/train-labels-idx1-ubyte.gz",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        PublishedFile(
            "mnist/t10k-images-idx3-ubyte.gz",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        PublishedFile(
            "mnist/t10k-labels-idx1-ubyte.gz",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "credit": (
        PublishedFile(
            "credit_default/default_of_credit_card_clients.csv.gz",
            2_867_294,
            "bf15b02eb5a2c34f01f6d071083ecb7b8f4e803a4280a7ef497903d84c791c48",
            "9ea4b2a945b44c2b8b645f6f247b9898fea6bd1e8c4421de9308f5e73928284a",
        ),
    ),
    "adult": (
        PublishedFile(
            "adult/adult.data.gz",
            3_974_305,
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
            "c7a2b4716a97f930123e0baf879188d701e798172631a654fc703d4b082907f3",
        ),
        PublishedFile(
            "adult/adult.test.gz",
            2_003_153,
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
            "8a2c1bffa6e7ce5abfa43881ae5e87c4311ebc2b3cd526c9c40a43f19f06f799",
        ),
    ),
    "hospital": (
        PublishedFile(
            "diabetes130/diabetic_data.csv.gz",
            19_159_383,
            "0689e7ec031237dc63031b938805c48377748761a3b26acab621567afa24df97",
            "16209e462b906f828e2423f7a9f783f4c4472ad81abd7d653f4e19b46da76e82",
        ),
    ),
    "us-census": (
        PublishedFile(
            "us_census_pums2018/psam_persons_2018_14states.csv.gz",
            75_601_620,
            "eaa6625c61b3bd704c862024e85cf9010763e0d94268f8f62f75e583ecda8796",
            "87e6aec8a815e6dc5afd22d671745cdff8b6a0db1542ad3d8986b92d615b6f73",
        ),
    ),
    "svhn": (
        PublishedFile(
            "svhn/train_32x32.mat",
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        PublishedFile(
            "svhn/test_32x32.mat",
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ),
}
"""In the order in which the loaders take them."""

ELSEWHERE = {
    "us-census": (
        "take the person files csv_pde, phi, pid, pme, pmt, pnd, pne, pnh, pnm, pri, psd, pvt, pwv "
        "and pwy from https://www2.census.gov/programs-surveys/acs/data/pums/2018/1-Year/, leave "
        "out PWGTP1..PWGTP80, and put them one under another in that order"
    ),
    "svhn": (
        "download train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers/ "
        "into svhn/ there"
    ),
}
"""How to get the sets that OpenML does not have in the published form."""
