"""Small files in the published formats, so that every loader runs on a machine without the data."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat  # type: ignore[import-untyped]  # scipy ships no types

from troth.data.published import credit
from troth.data.published.files import FILES, PublishedFile
from troth.data.sources import sha256

Install = Callable[[str], Path]
"""The fixture `install`: writes a small set, and returns what TROTH_DATA would name."""

COUNTRIES = ("United-States", "?", "Holand-Netherlands")


def idx_images(pixels_NHW: np.ndarray) -> bytes:
    return struct.pack(">4I", 0x0803, *pixels_NHW.shape) + pixels_NHW.tobytes()


def idx_labels(labels_N: np.ndarray) -> bytes:
    return struct.pack(">2I", 0x0801, len(labels_N)) + labels_N.tobytes()


def mnist() -> tuple[bytes, ...]:
    files: list[bytes] = []
    for rows in (30, 20):
        labels_N = (np.arange(rows) % 10).astype(np.uint8)
        pixels = np.zeros((rows, 28, 28), dtype=np.uint8)
        pixels[:, 0, 0], pixels[:, 27, 27] = 255, labels_N * 25
        files += [idx_images(pixels), idx_labels(labels_N)]
    return tuple(files)


def credit_default(rows: int = 40) -> tuple[bytes, ...]:
    names = [column.name for column in credit.COLUMNS]
    lines = ["," + ",".join(f"X{i}" for i in range(1, 24)) + ",Y"]
    lines.append(",".join(["ID", *names, credit.TARGET]))
    for row in range(rows):
        values = [20_000 + row * 1_000, 1 + row % 2, row % 7, row % 4, 21 + row]
        values += [row % 12 - 2] * 6 + [row * 1_000 - 5_000] * 6 + [row * 7] * 6
        lines.append(",".join(map(str, [row + 1, *values, row % 2])))
    return (("\n".join(lines) + "\n").encode(),)


def adult() -> tuple[bytes, ...]:
    def line(row: int, end: str) -> str:
        income = (">50K" if row % 3 == 0 else "<=50K") + end
        return (
            f"{20 + row}, Private, 77516, Bachelors, 13, Never-married, ?, Wife, White, Female, "
            f"{row * 1000}, 0, 40, {COUNTRIES[row % 3]}, {income}"
        )

    data = "\n".join(line(row, "") for row in range(30)) + "\n\n"
    test = "|1x3 Cross validator\n" + "".join(line(row, ".") + "\n" for row in range(12)) + "\n"
    return data.encode(), test.encode()


HOSPITAL_HEADER = (
    "encounter_id,patient_nbr,race,gender,age,weight,admission_type_id,discharge_disposition_id,"
    "admission_source_id,time_in_hospital,payer_code,medical_specialty,num_lab_procedures,"
    "num_procedures,num_medications,number_outpatient,number_emergency,number_inpatient,diag_1,"
    "diag_2,diag_3,number_diagnoses,max_glu_serum,A1Cresult,metformin,repaglinide,nateglinide,"
    "chlorpropamide,glimepiride,acetohexamide,glipizide,glyburide,tolbutamide,pioglitazone,"
    "rosiglitazone,acarbose,miglitol,troglitazone,tolazamide,examide,citoglipton,insulin,"
    "glyburide-metformin,glipizide-metformin,glimepiride-pioglitazone,metformin-rosiglitazone,"
    "metformin-pioglitazone,change,diabetesMed,readmitted"
)


def hospital() -> tuple[bytes, ...]:
    lines = [HOSPITAL_HEADER]
    for row in range(60):
        disposition = ("1", "6", "11", "3")[row % 4]
        diagnosis = ("250.83", "428", "V57", "?", "486", "E885")[row % 6]
        lines.append(
            f"{row},{1000 + row // 3},?,Female,[{row % 10 * 10}-{row % 10 * 10 + 10}),?,1,"
            f"{disposition},7,3,MC,Surgery-Neuro,41,0,8,0,0,1,{diagnosis},250,?,9,None,>8,"
            + "No," * 15
            + "No,No,Up,No,No,No,No,No,Ch,Yes,"
            + ("NO", "<30", ">30")[row % 3]
        )
    return (("\r\n".join(lines) + "\r\n").encode(),)


def us_census() -> tuple[bytes, ...]:
    header = "ST,AGEP,SCHL,WKHP,WKW,SEX,MAR,RAC1P,HISP,NATIVITY,DIS,PRIVCOV,ESR,COW,SCIENGP,PINCP"
    lines = [header]
    for row in range(50):
        state = ("10", "56")[row % 2]
        work = ",," if row % 5 == 0 else f"{30 + row % 20},1,"
        age = 12 if row % 5 == 0 else 20 + row
        income = "" if row % 5 == 0 else str(101 + row * 20_000)
        degree = "" if row % 2 else "1"
        lines.append(
            f"{state},{age},21,{work}1,5,1,{'01' if row % 3 else '02'},1,2,1,1,1,{degree},{income}"
        )
    return (("\n".join(lines) + "\n").encode(),)


def svhn() -> tuple[bytes, ...]:
    files = []
    for rows in (15, 10):
        file = io.BytesIO()
        labels_N = (np.arange(rows) % 10 + 1).astype(np.uint8)
        pixels = np.zeros((32, 32, 3, rows), dtype=np.uint8)
        pixels[0, 1, 2] = labels_N
        savemat(file, {"X": pixels, "y": labels_N[:, None]})
        files.append(file.getvalue())
    return tuple(files)


CONTENTS = {
    "mnist": mnist,
    "credit": credit_default,
    "adult": adult,
    "hospital": hospital,
    "us-census": us_census,
    "svhn": svhn,
}


def published(name: str, contents: tuple[bytes, ...]) -> tuple[PublishedFile, ...]:
    """The table entries that make `contents` the published ones."""
    return tuple(
        PublishedFile(file.path, len(content), sha256(content))
        for file, content in zip(FILES[name], contents, strict=True)
    )


def write(root: Path, name: str, contents: tuple[bytes, ...]) -> None:
    for file, content in zip(FILES[name], contents, strict=True):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
