"""Hospital: diabetes in 130 US hospitals 1999-2008 (Strack et al. 2014, UCI).

Will the patient be back within 30 days? Rows are stays, and patients have several: a patient is a
group, so neither the split nor a partition ever divides one.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from troth.data.examples import DataSet, Examples
from troth.data.spec import Column, category
from troth.data.split import fixed_split
from troth.data.tables import TableFile, categories, encode, groups, numbered, parse_csv, text

TEST_SHARE = 0.2
"""Share of the patients whose stays are for testing."""

GONE = ("11", "13", "14", "19", "20", "21")
"""Discharge dispositions after which nobody is readmitted: death and hospice."""

_AGES = tuple(f"[{decade}-{decade + 10})" for decade in range(0, 100, 10))
_MISSING = "?"
_OTHER = "other"
_SPECIALTIES = ("InternalMedicine", "Cardiology", "Family/GeneralPractice", "Emergency/Trauma")
_DIAGNOSES = (
    "circulatory", "respiratory", "digestive", "diabetes", "injury", "musculoskeletal",
    "genitourinary", "neoplasms", _OTHER, _MISSING,
)  # fmt: skip
_DRUGS = (
    "metformin", "repaglinide", "nateglinide", "chlorpropamide", "glimepiride", "acetohexamide",
    "glipizide", "glyburide", "tolbutamide", "pioglitazone", "rosiglitazone", "acarbose",
    "miglitol", "troglitazone", "tolazamide", "insulin", "glyburide-metformin",
    "glipizide-metformin", "glimepiride-pioglitazone", "metformin-rosiglitazone",
    "metformin-pioglitazone",
)  # fmt: skip
"""Without `examide` and `citoglipton`, which nobody was given."""


COLUMNS = (
    category("race", "AfricanAmerican", "Asian", "Caucasian", "Hispanic", "Other", _MISSING),
    category("gender", "Female", "Male", "Unknown/Invalid"),
    Column(name="age", minimum=0, maximum=9),
    category("admission_type_id", *map(str, range(1, 9))),
    category("discharged", "home", "home care", "nursing facility", _OTHER),
    category("admitted_from", "emergency room", "referral", _OTHER),
    Column(name="time_in_hospital", minimum=1, maximum=14),
    category("specialty", *_SPECIALTIES, "Surgery", _OTHER, _MISSING),
    Column(name="num_lab_procedures", minimum=0, maximum=132),
    Column(name="num_procedures", minimum=0, maximum=6),
    Column(name="num_medications", minimum=0, maximum=81),
    Column(name="number_outpatient", minimum=0, maximum=42),
    Column(name="number_emergency", minimum=0, maximum=76),
    Column(name="number_inpatient", minimum=0, maximum=21),
    *(category(f"diag_{place}", *_DIAGNOSES) for place in (1, 2, 3)),
    Column(name="number_diagnoses", minimum=1, maximum=16),
    category("max_glu_serum", "None", "Norm", ">200", ">300"),
    category("A1Cresult", "None", "Norm", ">7", ">8"),
    *(category(drug, "No", "Down", "Steady", "Up") for drug in _DRUGS),
    category("change", "No", "Ch"),
    category("diabetesMed", "No", "Yes"),
)
_READ = (
    "patient_nbr", "discharge_disposition_id", "admission_source_id", "medical_specialty",
    "payer_code", "readmitted",
)  # fmt: skip
_DERIVED = ("discharged", "admitted_from", "specialty")
_TO_DEAL_BY = ("race", "gender", "age", "admission_type_id", "payer_code", "medical_specialty")


def read(stays: bytes) -> DataSet:
    """Features in [0, 1], by `COLUMNS`; a fixed split by patient.

    Raises:
      DataError: the content is not the published table.
    """
    wanted = [column.name for column in COLUMNS if column.name not in _DERIVED]
    table = parse_csv(stays, "diabetes130/diabetic_data.csv", [*wanted, *_READ])
    kept = table.frame.filter(~pl.col("discharge_disposition_id").is_in(GONE))
    raw = TableFile(kept, table.file)
    derived = TableFile(kept.with_columns(*_derive()), table.file)
    x_NF, names = encode(derived, COLUMNS)
    rows = Examples(
        x_NF=x_NF,
        y_N=(categories(raw, "readmitted", ("NO", ">30", "<30")) == 2).astype("int64"),
        group_N=numbered(groups(raw, "patient_nbr")),
        columns={name: text(raw, name) for name in _TO_DEAL_BY},
    )
    train, test = fixed_split(rows, TEST_SHARE, "hospital")
    return DataSet(
        name="hospital",
        task="classification",
        train=train,
        test=test,
        features=(len(names),),
        classes=("not within 30 days", "readmitted within 30 days"),
        notes=[
            "hospital: readmission within 30 days against the rest (Strack et al.; FDPDDL), "
            f"not balanced: {train.y_N.mean():.1%} of the training rows are positive",
            f"hospital: a fixed split by patient, {len(train)} training and {len(test)} test rows; "
            "no patient is in both, nor dealt to two parties",
            f"hospital: {len(table) - len(raw)} stays that ended in death or hospice are left out; "
            "weight (97 % missing), examide and citoglipton (constant) too",
            f"hospital: {len(names)} features: numbers scaled to [0, 1] by fixed ranges, "
            "categories one-hot; diagnoses grouped as in Strack et al., table 2",
        ],
    )


def _derive() -> list[pl.Expr]:
    disposition, source = pl.col("discharge_disposition_id"), pl.col("admission_source_id")
    specialty = pl.col("medical_specialty")
    in_care = {
        "home": disposition == "1",
        "home care": disposition.is_in(["6", "8"]),
        "nursing facility": disposition.is_in(["3", "4", "24"]),
    }
    sent_by = {"emergency room": source == "7", "referral": source.is_in(["1", "2", "3"])}
    kept = {name: specialty == name for name in (*_SPECIALTIES, _MISSING)}
    return [
        _first_of(in_care).alias("discharged"),
        _first_of(sent_by).alias("admitted_from"),
        _first_of(kept | {"Surgery": specialty.str.starts_with("Surg")}).alias("specialty"),
        pl.col("age").replace({age: str(decade) for decade, age in enumerate(_AGES)}),
        *(_diagnosis(f"diag_{place}") for place in (1, 2, 3)),
    ]


def _diagnosis(name: str) -> pl.Expr:
    """Groups of ICD-9 codes (Strack et al. 2014, table 2)."""
    whole = pl.col(name).cast(pl.Float64, strict=False).floor()
    groups = {
        _MISSING: pl.col(name) == _MISSING,
        "diabetes": whole == 250,
        "circulatory": whole.is_between(390, 459) | (whole == 785),
        "respiratory": whole.is_between(460, 519) | (whole == 786),
        "digestive": whole.is_between(520, 579) | (whole == 787),
        "injury": whole.is_between(800, 999),
        "musculoskeletal": whole.is_between(710, 739),
        "genitourinary": whole.is_between(580, 629) | (whole == 788),
        "neoplasms": whole.is_between(140, 239),
    }
    return _first_of(groups).alias(name)


def _first_of(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """The name of the first condition that holds; `_OTHER` where none does."""
    cases = [pl.when(holds).then(pl.lit(name)) for name, holds in conditions.items()]
    return pl.coalesce(*cases, pl.lit(_OTHER))
