"""Every bad file gives one `CharterError` with the key, the problem, and something to try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from troth.charter.loading import load_charter, load_scenario
from troth.errors import CharterError, ExitCode, UsageError

HEAD = 'name = "small"\n'
TASK = '[task]\nkind = "classification"\ndata = "digits"\nmodel = "softmax"\n'
TRAINING = "[training]\nrounds = 5\nlearning_rate = 0.1\n"
PROTOCOL = '[protocol]\nname = "federated"\n'
PARTIES = "[parties]\ncount = 10\n"
LEDGER = '[protocol]\nname = "biscotti"\n'
BROKERED = '[protocol]\nname = "tormentor"\ndeadline_s = 1\n'
PRIVATE = '[parties.privacy]\nmechanism = "laplace"\nepsilon = 2\ndelta = 1e-5\nclip = 1\n'

FILES = (
    '[task.data]\nsource = "files"\ntrain = ["a.csv", "b.csv"]\n'
    "[task.data.schema]\nclasses = 2\n"
    '[[task.data.schema.columns]]\nname = "age"\nminimum = 0\nmaximum = 100\n'
)
TASK_FILES = '[task]\nkind = "classification"\nmodel = "softmax"\n' + FILES
REGRESSION = '[task]\nkind = "regression"\ndata = "diabetes"\nmodel = "linear"\n'


def text(
    head: str = HEAD,
    task: str = TASK,
    training: str = TRAINING,
    protocol: str = PROTOCOL,
    parties: str = PARTIES,
    more: str = "",
) -> str:
    return head + task + training + protocol + parties + more


@dataclass(frozen=True)
class Case:
    """A file, the key that the error must name, and a part of what it must say."""

    name: str
    text: str
    key: str | None
    says: str
    hint: str = ""


TYPES = [
    Case(
        "string for whole number",
        text(training='[training]\nrounds = "ten"\nlearning_rate = 0.1\n'),
        "training.rounds",
        "is a string, not a whole number",
    ),
    Case(
        "quoted number",
        text(training='[training]\nrounds = "10"\nlearning_rate = 0.1\n'),
        "training.rounds",
        "is a string, not a whole number",
        "write 10, without the quotes",
    ),
    Case(
        "point in whole number",
        text(training="[training]\nrounds = 5.0\nlearning_rate = 0.1\n"),
        "training.rounds",
        "is a number with a point, not a whole number",
        "write 5, without the point",
    ),
    Case(
        "boolean for whole number",
        text(training="[training]\nrounds = true\nlearning_rate = 0.1\n"),
        "training.rounds",
        "is a boolean, not a whole number",
    ),
    Case(
        "boolean for number",
        text(training="[training]\nrounds = 5\nlearning_rate = true\n"),
        "training.learning_rate",
        "is a boolean, not a number",
    ),
    Case(
        "whole number for boolean",
        text(protocol=PROTOCOL + 'aggregation = { rule = "mean", weighted = 1 }\n'),
        "protocol.aggregation.weighted",
        "is a whole number, not true or false",
    ),
    Case("number for string", text(head="name = 3\n"), "name", "is a whole number, not a string"),
    Case(
        "date for string",
        text(task=TASK.replace('"digits"', "2026-01-01")),
        "task.data",
        "is a date or time, not a table",
        'data = "digits"',
    ),
    Case(
        "number for table", text(parties="", head=HEAD + "parties = 10\n"), "parties", "not a table"
    ),
    Case(
        "table for array",
        text(task=TASK.replace('"softmax"', '{ name = "mlp", hidden = { a = 1 } }')),
        "task.model.hidden",
        "is a table, not an array",
    ),
    Case(
        "wrong entry of array",
        text(task=TASK.replace('"softmax"', '{ name = "mlp", hidden = [8, "x"] }')),
        "task.model.hidden[1]",
        "is a string, not a whole number",
    ),
    Case(
        "array for latency",
        text(more="[network]\nlatency = [1]\n"),
        "network.latency",
        "is an array, not a table",
        "latency = 0.1",
    ),
    Case(
        "neither number nor all",
        text(training=TRAINING + "batch_size = [1]\n"),
        "training.batch_size",
        'is an array, not a whole number or "all"',
    ),
    Case(
        "boolean for version",
        text(head=HEAD + "version = true\n"),
        "version",
        "is not 1",
    ),
]

BOUNDS = [
    Case(
        "no rounds",
        text(training="[training]\nrounds = 0\nlearning_rate = 0.1\n"),
        "training.rounds",
        "is below 1",
        "at least 1",
    ),
    Case(
        "negative rate",
        text(training="[training]\nrounds = 5\nlearning_rate = -0.1\n"),
        "training.learning_rate",
        "is not above 0",
    ),
    Case(
        "NaN",
        text(training="[training]\nrounds = 5\nlearning_rate = nan\n"),
        "training.learning_rate",
        "is not a finite number",
    ),
    Case(
        "infinity",
        text(more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\n[network]\nloss = inf\n"),
        "network.loss",
        "is not a finite number",
    ),
    Case(
        "infinity in an array",
        text(task=TASK_FILES.replace("maximum = 100", "maximum = 1e999")),
        "task.data.schema.columns[0].maximum",
        "is not a finite number",
    ),
    Case(
        "too large for a double",
        text(training=f"[training]\nrounds = 5\nlearning_rate = 1{'0' * 400}\n"),
        "training.learning_rate",
        "is too large",
    ),
    Case(
        "momentum of 1",
        text(training=TRAINING + "momentum = 1\n"),
        "training.momentum",
        "is not below 1",
    ),
    Case(
        "fraction above 1",
        text(more="[[attacks]]\nkind = 'label_flip'\nfraction = 1.5\n"),
        "attacks[0].fraction",
        "is above 1",
    ),
    Case(
        "second attack",
        text(
            more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\n"
            "[[attacks]]\nkind = 'sign_flip'\nfraction = -1\n"
        ),
        "attacks[1].fraction",
        "is not above 0",
    ),
    Case(
        "too many hidden layers",
        text(task=TASK.replace('"softmax"', '{ name = "mlp", hidden = [8, 8, 8] }')),
        "task.model.hidden",
        "has 3 entries, more than 2",
    ),
    Case(
        "no hidden layer",
        text(task=TASK.replace('"softmax"', '{ name = "mlp", hidden = [] }')),
        "task.model.hidden",
        "has 0 entries, fewer than 1",
    ),
    Case("capital name", text(head='name = "Small"\n'), "name", "lower-case letters"),
    Case(
        "no callable",
        text(task=TASK.replace('"softmax"', '"task:"')),
        "task.model.callable",
        "is not of the form module:callable",
    ),
    Case("negative seed", text(head=HEAD + "seed = -1\n"), "seed", "is below 0"),
    Case(
        "latency of one party",
        text(more="[network.latency_of]\nparty-3 = -1\n"),
        "network.latency_of.party-3.seconds",
        "is below 0",
    ),
]

NAMES = [
    Case(
        "unknown key",
        text(training=TRAINING + "momentun = 0.9\n"),
        "training.momentun",
        "is not a known key",
        'did you mean "momentum"? keys of [training]: rounds',
    ),
    Case("unknown table", text(more="[netwrok]\n"), "netwrok", "not a known key", '"network"'),
    Case(
        "top-level key below a table",
        text(parties=PARTIES + "seed = 3\n"),
        "parties.seed",
        "is not a known key",
        "seed belongs to the top level",
    ),
    Case(
        "key of another rule",
        text(protocol=PROTOCOL + 'aggregation = { rule = "mean", byzantine = 3 }\n'),
        "protocol.aggregation.byzantine",
        "is not a known key",
        "keys of [protocol.aggregation]: weighted",
    ),
    Case(
        "unknown key in an array",
        text(more="[[attacks]]\nkind = 'label_flip'\nfractoin = 0.3\n"),
        "attacks[0].fractoin",
        "is not a known key",
        '"fraction"',
    ),
    Case(
        "key of a table that takes none",
        text(protocol='[protocol]\nname = "standalone"\nrounds = 3\n'),
        "protocol.rounds",
        "is not a known key",
        "takes no other key",
    ),
    Case(
        "unknown protocol",
        text(protocol="", head=HEAD + 'protocol = "fedrated"\n'),
        "protocol",
        "is not known",
        'did you mean "federated"? choose one of: federated, dssgd, centralised, standalone',
    ),
    Case(
        "unknown protocol in a table",
        text(protocol='[protocol]\nname = "gossip"\ndeadline_s = 1\n'),
        "protocol.name",
        "is not known",
        "choose one of: federated",
    ),
    Case(
        "unknown rule",
        text(protocol=PROTOCOL + 'aggregation = "multikrum"\n'),
        "protocol.aggregation",
        "is not known",
        '"multi_krum"',
    ),
    Case(
        "unknown model",
        text(task=TASK.replace("softmax", "softmx")),
        "task.model",
        "is not known",
        '"softmax"',
    ),
    Case(
        "unknown data set",
        text(task=TASK.replace("digits", "minst")),
        "task.data.name",
        "is not one of",
        '"mnist"',
    ),
    Case(
        "unknown attack",
        text(more="[[attacks]]\nkind = 'labelflip'\nfraction = 0.1\n"),
        "attacks[0].kind",
        "is not known",
        '"label_flip"',
    ),
    Case(
        "unknown word",
        text(training=TRAINING + 'update = "deltas"\n'),
        "training.update",
        "is not one of",
        '"delta"',
    ),
    Case(
        "attack without a kind",
        text(more="[[attacks]]\nfraction = 0.1\n"),
        "attacks[0].kind",
        "is missing",
        "label_flip",
    ),
    Case(
        "partition without a kind",
        text(more="[partition]\nalpha = 0.5\n"),
        "partition.kind",
        "is missing",
        "dirichlet",
    ),
    Case("no name", text(head=""), "name", "is missing", 'name = "my-charter"'),
    Case("no task", text(task=""), "task", "is missing", "[task] with kind"),
    Case("no parties", text(parties=""), "parties", "is missing", "[parties] with count = 10"),
    Case(
        "no rounds at all",
        text(training="[training]\nlearning_rate = 0.1\n"),
        "training.rounds",
        "is missing",
        "rounds = 10",
    ),
    Case(
        "short form of what needs more",
        text(head=HEAD + 'partition = "dirichlet"\n'),
        "partition.alpha",
        "is missing",
        "alpha = 0.1",
    ),
    Case(
        "empty file",
        "",
        "name",
        "is missing",
    ),
]

TASKS = [
    Case(
        "softmax for regression",
        text(task=REGRESSION.replace("linear", "softmax")),
        "task.model.name",
        "is a model for classification",
        "linear",
    ),
    Case(
        "linear for classification",
        text(task=TASK.replace("softmax", "linear")),
        "task.model.name",
        "is a model for regression",
    ),
    Case(
        "logistic for ten classes",
        text(task=TASK.replace("softmax", "logistic")),
        "task.model.name",
        "tells 2 classes apart, but the data have 10",
        "softmax",
    ),
    Case(
        "convolution of a table",
        text(task=TASK.replace("softmax", "shokri_cnn").replace("digits", "wine")),
        "task.model.name",
        "needs images",
    ),
    Case(
        "cross entropy for regression",
        text(task=REGRESSION + 'loss = "cross_entropy"\n'),
        "task.loss",
        "needs classes",
    ),
    Case(
        "regression on classes",
        text(task=REGRESSION.replace("diabetes", "digits")),
        "task.kind",
        "does not go with the data set digits",
        "classification",
    ),
    Case(
        "more rows than there are",
        text(task=TASK.replace('"digits"', '{ source = "named", name = "wine", rows = 500 }')),
        "task.data.rows",
        "is above the 142 rows of wine",
    ),
    Case(
        "own files without classes",
        text(task=TASK_FILES.replace("classes = 2\n", "")),
        "task.data.schema.classes",
        "is missing",
    ),
    Case(
        "own files with one class",
        text(task=TASK_FILES.replace("classes = 2\n", "classes = 1\n")),
        "task.data.schema.classes",
        "is below 2",
    ),
    Case(
        "the target as a feature",
        text(task=TASK_FILES.replace('name = "age"', 'name = "y"')),
        "task.data.schema.columns",
        "is named twice",
    ),
    Case(
        "a column twice",
        text(
            task=TASK_FILES
            + '[[task.data.schema.columns]]\nname = "age"\nminimum = 0\nmaximum = 9\n'
        ),
        "task.data.schema.columns",
        "is named twice",
    ),
    Case(
        "a column with its range upside down",
        text(task=TASK_FILES.replace("minimum = 0", "minimum = 200")),
        "task.data.schema.columns[0].minimum",
        "is not below maximum",
    ),
    Case(
        "steps and epochs",
        text(training=TRAINING + "local_steps = 3\nlocal_epochs = 1\n"),
        "training.local_epochs",
        "contradicts local_steps",
    ),
    Case(
        "gradients for dssgd",
        text(protocol='[protocol]\nname = "dssgd"\n', training=TRAINING + 'update = "gradient"\n'),
        "training.update",
        "upload changes of the model",
    ),
    Case(
        "threshold without random selection",
        text(protocol='[protocol]\nname = "dssgd"\nthreshold = 0.5\n'),
        "protocol.threshold",
        "has no effect",
    ),
]

PARTICIPANTS = [
    Case(
        "nobody asked",
        text(protocol=PROTOCOL + "participation = 0.01\n"),
        "protocol.participation",
        "is less than one party",
        "0.1",
    ),
    Case(
        "more answers than questions",
        text(protocol=PROTOCOL + "participation = 0.5\nat_least = 6\ndeadline_s = 1\n"),
        "protocol.at_least",
        "is more than the 5 parties asked",
    ),
    Case(
        "f too large for Krum",
        text(protocol=PROTOCOL + 'aggregation = { rule = "krum", byzantine = 4 }\n'),
        "protocol.aggregation.byzantine",
        "",
    ),
    Case(
        "f too large for those asked",
        text(
            protocol=PROTOCOL
            + 'participation = 0.5\naggregation = { rule = "krum", byzantine = 3 }\n'
        ),
        "protocol.aggregation.byzantine",
        "parties asked in a round: 5",
    ),
    Case(
        "a deadline that leaves too few for Krum",
        text(protocol=PROTOCOL + 'aggregation = "multi_krum"\ndeadline_s = 3\n'),
        "protocol.at_least",
        "lets a round end with 1 of 10 updates",
    ),
    Case(
        "allow list without names",
        text(more='[admission]\npolicy = "allow_list"\n'),
        "admission.allow",
        "is empty",
    ),
    Case(
        "allow list with a stranger",
        text(more='[admission]\npolicy = "allow_list"\nallow = ["party-3", "party-03"]\n'),
        "admission.allow[1]",
        "is not in this run, which has party-0 to party-9",
    ),
    Case(
        "allow list with a name twice",
        text(more='[admission]\npolicy = "allow_list"\nallow = ["party-3", "party-3"]\n'),
        "admission.allow",
        "names party-3 twice",
    ),
    Case(
        "more parties than rows",
        text(parties="[parties]\ncount = 2000\n"),
        "parties.count",
        "some party would have no data",
        "1438",
    ),
    Case(
        "more rows each than there are",
        text(more='[partition]\nkind = "random_sizes"\nminimum = 1000\n'),
        "partition.minimum",
        "is more than the 1438 rows",
        "143",
    ),
    Case(
        "nobody has enough rows",
        text(more="[admission]\nminimum_examples = 145\n"),
        "admission.minimum_examples",
        "keeps everybody out",
    ),
    Case(
        "more classes than there are",
        text(more='[partition]\nkind = "by_class"\nclasses = 11\n'),
        "partition.classes",
        "is more than the 10 classes",
    ),
    Case(
        "classes in a regression",
        text(task=REGRESSION, head=HEAD + 'partition = "by_class"\n'),
        "partition.kind",
        "deals rows by class",
    ),
    Case(
        "as given without files",
        text(head=HEAD + 'partition = "as_given"\n'),
        "partition.kind",
        "needs one file per party",
    ),
    Case(
        "as given with too few files",
        text(head=HEAD + 'partition = "as_given"\n', task=TASK_FILES),
        "parties.count",
        "is not the number of files in task.data.train, which is 2",
    ),
]

ATTACKS = [
    Case(
        "by a column of arrays",
        text(
            head=HEAD + 'partition = { kind = "by_column", column = "age" }\n',
            task=TASK_FILES.split("[[task.data.schema.columns]]")[0] + "shape = [1]\n",
        ),
        "partition.kind",
        "needs named columns",
        "as_given",
    ),
    Case(
        "share and names",
        text(more="[[attacks]]\nkind = 'sign_flip'\nfraction = 0.1\nparties = ['party-1']\n"),
        "attacks[0].fraction",
        "but not both",
    ),
    Case(
        "neither share nor names",
        text(more="[[attacks]]\nkind = 'sign_flip'\n"),
        "attacks[0].fraction",
        "must be given",
    ),
    Case(
        "more attackers than parties",
        text(
            more="[[attacks]]\nkind = 'sign_flip'\nfraction = 0.6\n"
            "[[attacks]]\nkind = 'alie'\nfraction = 0.5\n"
        ),
        "attacks[1].fraction",
        "brings the attackers to 11, more than parties.count = 10",
    ),
    Case(
        "one party, two attacks",
        text(
            more="[[attacks]]\nkind = 'sign_flip'\nparties = ['party-1']\n"
            "[[attacks]]\nkind = 'alie'\nparties = ['party-1']\n"
        ),
        "attacks[1].parties",
        "which attacks[0] names already",
    ),
    Case(
        "an attacker that is no party",
        text(more="[[attacks]]\nkind = 'sign_flip'\nparties = ['mallory']\n"),
        "attacks[0].parties",
        "mallory",
    ),
    Case(
        "an attacker that is not admitted",
        text(
            more="[[attacks]]\nkind = 'sign_flip'\nparties = ['party-1']\n"
            "[admission]\npolicy = 'allow_list'\nallow = ['party-2']\n"
        ),
        "attacks[0].parties[0]",
        "keeps this party out",
    ),
    Case(
        "source equals target",
        text(more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\nsource = 1\ntarget = 1\n"),
        "attacks[0].target",
        "nothing would be flipped",
    ),
    Case(
        "source alone",
        text(more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\nsource = 1\n"),
        "attacks[0].source",
        "target",
    ),
    Case(
        "label out of range",
        text(more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\nsource = 1\ntarget = 10\n"),
        "attacks[0].target",
        "10 classes",
    ),
    Case(
        "labels of a regression",
        text(task=REGRESSION, more="[[attacks]]\nkind = 'label_flip'\nfraction = 0.1\n"),
        "attacks[0].kind",
        "regression",
    ),
    Case(
        "noise on nothing",
        text(more="[[attacks]]\nkind = 'random_data'\nfraction = 0.1\nportion = 0\n"),
        "attacks[0].portion",
        "leaves all data as they are",
    ),
    Case(
        "poisoned updates that nobody sends",
        text(
            protocol='[protocol]\nname = "standalone"\n',
            more="[[attacks]]\nkind = 'sign_flip'\nfraction = 0.1\n",
        ),
        "attacks[0].kind",
        "no party sends an update",
        "label_flip",
    ),
]

WORLDS = [
    Case(
        "loss without messages",
        text(protocol='[protocol]\nname = "centralised"\n', more="[network]\nloss = 0.1\n"),
        "network.loss",
        "sends no messages",
    ),
    Case(
        "churn of parties that do nothing",
        text(
            protocol='[protocol]\nname = "centralised"\n',
            more="[churn]\nmean_online_s = 1\nmean_offline_s = 1\n",
        ),
        "churn",
        "only hand over their data",
    ),
    Case(
        "half of the churn",
        text(more="[churn]\nmean_online_s = 1\n"),
        "churn.mean_online_s",
        "needs both",
    ),
    Case(
        "loss without a deadline",
        text(more="[network]\nloss = 0.1\n"),
        "network.loss",
        "would wait for ever",
        "protocol.deadline_s",
    ),
    Case(
        "loss without a deadline in dssgd",
        text(protocol='[protocol]\nname = "dssgd"\n', more="[network]\nloss = 0.1\n"),
        "network.loss",
        "would wait for ever",
        "protocol.deadline_s",
    ),
    Case(
        "churn without a deadline",
        text(more="[churn]\nmean_online_s = 10\nmean_offline_s = 1\n"),
        "churn.mean_online_s",
        "would wait for ever",
    ),
    Case(
        "a crash without a deadline",
        text(more="[[faults.crashes]]\nnode = 'party-1'\nat_s = 1\n"),
        "faults.crashes",
        "would wait for ever",
    ),
    Case(
        "more absent than can be spared",
        text(
            protocol=PROTOCOL + "at_least = 9\n",
            more="[[churn.absences]]\nparty = 'party-1'\nfrom_s = 1\n"
            "[[churn.absences]]\nparty = 'party-2'\nfrom_s = 1\n",
        ),
        "churn.absences",
        "would wait for ever",
    ),
    Case(
        "everything lost",
        text(protocol=PROTOCOL + "deadline_s = 1\n", more="[network]\nloss = 1\n"),
        "network.loss",
        "loses every message",
    ),
    Case(
        "the server gone for good",
        text(
            protocol=PROTOCOL + "deadline_s = 1\n",
            more="[[faults.crashes]]\nnode = 'server'\nat_s = 1\n",
        ),
        "faults.crashes[0].node",
        "the run cannot end without it",
        "restart_after_s",
    ),
    Case(
        "a party alone gone for good",
        text(
            protocol='[protocol]\nname = "standalone"\n',
            more="[[churn.absences]]\nparty = 'party-1'\nfrom_s = 1\n",
        ),
        "churn.absences[0].party",
        "the run cannot end without it",
        "until_s",
    ),
    Case(
        "a crash of nobody",
        text(
            protocol='[protocol]\nname = "centralised"\n',
            more="[[faults.crashes]]\nnode = 'party-1'\nat_s = 1\n",
        ),
        "faults.crashes[0].node",
        "is not in this run, which has trainer",
    ),
    Case(
        "latency of nobody",
        text(more="[network.latency_of]\nparty-10 = 1\n"),
        "network.latency_of.party-10",
        "is not in this run",
    ),
    Case(
        "a budget of nobody",
        text(protocol=BROKERED, more=PRIVATE + "own_epsilon = { party-10 = 1 }\n"),
        "parties.privacy.own_epsilon.party-10",
        "is not in this run",
    ),
    Case(
        "a privacy of their own where parties add no noise",
        text(more=PRIVATE),
        "parties.privacy.mechanism",
        'does not go with protocol = "federated"',
        'set protocol = "tormentor"',
    ),
    Case(
        "budgets that run out while the broker waits for ever",
        text(protocol='[protocol]\nname = "tormentor"\n', more=PRIVATE),
        "parties.privacy.mechanism",
        "the broker would wait for others for ever",
        "set protocol.deadline_s",
    ),
    Case(
        "a least epsilon above everybody's",
        text(
            protocol=BROKERED + "minimum_epsilon = 3\n",
            more=PRIVATE + "own_epsilon = { party-3 = 2.5 }\n",
        ),
        "protocol.minimum_epsilon",
        "the largest epsilon is 2.5",
    ),
    Case(
        "an epsilon that protects nobody",
        text(protocol=BROKERED, more=PRIVATE.replace("epsilon = 2", "epsilon = 1000")),
        "parties.privacy.epsilon",
        "100",
    ),
    Case(
        "an absence of nobody",
        text(more="[[churn.absences]]\nparty = 'party-10'\nfrom_s = 1\n"),
        "churn.absences[0].party",
        "is not in this run",
    ),
    Case(
        "an absence that ends before it begins",
        text(
            protocol=PROTOCOL + "deadline_s = 1\n",
            more="[[churn.absences]]\nparty = 'party-1'\nfrom_s = 2\nuntil_s = 1\n",
        ),
        "churn.absences[0].until_s",
        "is not after from_s = 2",
    ),
    Case(
        "a partition that ends before it begins",
        text(
            protocol=PROTOCOL + "deadline_s = 1\n",
            more="[[network.partitions]]\nfrom_s = 2\nuntil_s = 1\ngroups = [['party-1']]\n",
        ),
        "network.partitions[0].until_s",
        "is not after from_s",
    ),
    Case(
        "a node in two groups",
        text(
            protocol=PROTOCOL + "deadline_s = 1\n",
            more="[[network.partitions]]\nfrom_s = 0\nuntil_s = 1\n"
            "groups = [['party-1'], ['party-1']]\n",
        ),
        "network.partitions[0].groups",
        "names party-1 twice",
    ),
    Case(
        "a deadline below the latency",
        text(
            protocol=PROTOCOL + "deadline_s = 0.2\n",
            more="[network.latency]\nkind = 'normal'\nmean_s = 2\nstd_s = 1\nfloor_s = 0.1\n",
        ),
        "protocol.deadline_s",
        "is too short for any answer: two messages take at least 0.2 s",
    ),
    Case(
        "a deadline below the training",
        text(
            protocol=PROTOCOL + "deadline_s = 1\n",
            more="[cost]\nkind = 'fixed'\nseconds = { local_update = 1.5 }\n",
        ),
        "protocol.deadline_s",
        "1.5 s of training",
    ),
    Case(
        "cost of nothing",
        text(more="[cost]\nkind = 'fixed'\nseconds = { local_updat = 1 }\n"),
        "cost.seconds.local_updat",
        "is no computation",
        '"local_update"',
    ),
    Case(
        "reordering without delays",
        text(more="[network]\nreordering = 0.1\n"),
        "network.reordering",
        "messages take no time",
    ),
    Case(
        "workers of another engine",
        text(more="[engine]\nworkers = 2\n"),
        "engine.workers",
        "has no effect",
        "processes",
    ),
]

SYNTAX = [
    Case("no value", HEAD + "seed =\n", None, "line 2, column 7 is not TOML", "quotes"),
    Case("no quotes", "name = small\n", None, "line 1, column 8", "strings need quotes"),
    Case("a key twice", HEAD + HEAD, None, "cannot overwrite a value", "once only"),
    Case("a table twice", text(more=PARTIES), None, "twice: '[parties]'", "once only"),
    Case("an open bracket", HEAD + "[task\n", None, "line 2, column 6", ""),
    Case("an open string", 'name = "small', None, "unterminated string", ""),
    Case("too many digits", f"seed = {'9' * 5000}\n", None, "too many digits", ""),
    Case("too deep", f"seed = {'[' * 5000}\n", None, "too deeply", ""),
]

LEDGERS = [
    Case(
        "too few peers",
        text(protocol=LEDGER, parties="[parties]\ncount = 7\n"),
        "parties.count",
        "are fewer parties than a round takes, 8: 3 verifiers, 3 aggregators and",
        "make committees smaller",
    ),
    Case(
        "too few peers admitted",
        text(
            protocol=LEDGER,
            more='[admission]\npolicy = "allow_list"\nallow = ["party-1", "party-2"]\n',
        ),
        "parties.count",
        "are fewer parties than a round takes",
    ),
    Case(
        "too many peers",
        text(protocol=LEDGER, parties="[parties]\ncount = 1025\n"),
        "parties.count",
        "are more than the 1024 peers",
    ),
    Case(
        "more noisers than others",
        text(protocol=LEDGER, more="[privacy]\nnoisers = 10\n"),
        "privacy.noisers",
        "is not below 10",
    ),
    Case(
        "no stake",
        text(protocol=LEDGER + "stake = { initial = 0 }\n"),
        "protocol.stake.initial",
        "leaves nobody to draw",
    ),
    Case(
        "too few contributors",
        text(protocol=LEDGER + "sampled = 0.1\n"),
        "protocol.sampled",
        "draws 1 contributors a round, fewer than least_updates = 2",
    ),
    Case(
        "one accepted update",
        text(protocol=LEDGER + 'aggregation = "krum"\n'),
        "protocol.aggregation.rule",
        "accepts 1 of a round's updates",
        "multi_krum",
    ),
    Case(
        "one selected update",
        text(protocol=LEDGER + 'aggregation = { rule = "multi_krum", selected = 1 }\n'),
        "protocol.aggregation.selected",
        "accepts 1 of a round's updates",
    ),
    Case(
        "a rule that wants more contributors",
        text(protocol=LEDGER + 'aggregation = { rule = "multi_krum", byzantine = 1 }\n'),
        "protocol.aggregation.byzantine",
        "needs at least 5 parties",
        "lower byzantine to at most 0",
    ),
    Case(
        "two sums of one round",
        text(protocol=LEDGER + "aggregators = 4\nquorum = 2\ntolerated = 1\n"),
        "protocol.quorum",
        "two sums of one round could be opened",
        'faults = "crash"',
    ),
    Case(
        "an unknown property",
        text(protocol=LEDGER + "most_failures = { privcay = 0.1 }\n"),
        "protocol.most_failures.privcay",
        "is not a known key",
        'did you mean "privacy"?',
    ),
    Case(
        "an unknown mask",
        text(protocol=LEDGER, more='[privacy]\nmask = "lapalce"\n'),
        "privacy.mask",
        "is not known",
        "choose one of: none, gaussian, paper, calibrated",
    ),
    Case(
        "noise of a party's own",
        text(protocol=LEDGER, more=PRIVATE),
        "parties.privacy.mechanism",
        "in which all parties add the same noise",
        "ledger_noise",
    ),
    Case(
        "steps shorter than messages",
        text(protocol=LEDGER + "phase_s = 1\n", more="[network]\nlatency = 0.5\n"),
        "protocol.phase_s",
        "two messages take at least 1 s",
    ),
    Case(
        "cryptography of nobody",
        text(more='[cryptography]\ngroup = "modelled"\n'),
        "cryptography",
        "has no effect",
    ),
]

CASES = [*TYPES, *BOUNDS, *NAMES, *TASKS, *PARTICIPANTS, *ATTACKS, *WORLDS, *LEDGERS, *SYNTAX]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_file_gives_one_clear_error(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(case.text, encoding="utf-8")
    with pytest.raises(CharterError) as caught:
        load_scenario(path)
    error = caught.value
    assert error.key == case.key
    assert case.says in error.problem
    assert case.hint in (error.hint or "")
    assert error.exit_code == ExitCode.CHARTER == 3
    assert str(error).startswith(f"{path}: ")
    assert not error.message.endswith(".")
    assert error.hint or case not in [*TYPES, *BOUNDS, *NAMES, *SYNTAX]
    assert "msgspec" not in str(error)
    assert "$." not in str(error)


def test_the_file_that_the_cases_change_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    for whole in (text(), text(task=REGRESSION), text(task=TASK_FILES)):
        path.write_text(whole, encoding="utf-8")
        assert load_scenario(path).text == whole


def test_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_scenario(tmp_path / "scenario.toml")


def test_folder_is_no_file_and_the_hint_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(text())
    with pytest.raises(UsageError, match="is a folder") as caught:
        load_scenario(tmp_path)
    assert str(tmp_path / "scenario.toml") in (caught.value.hint or "")


def test_file_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_bytes(b'# ok\nname = "caf\xe9"\n')
    with pytest.raises(CharterError, match=r"line 2 is not UTF-8 \(byte 0xe9\)"):
        load_scenario(path)


def test_file_must_be_small(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text() + "#" * 2**20)
    with pytest.raises(CharterError, match="is larger than 1048576 bytes"):
        load_scenario(path)


def test_charter_and_its_keys_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text('charter = "charter.toml"\n' + text())
    with pytest.raises(CharterError, match=r"scenario\.toml: name stands here although") as caught:
        load_scenario(path)
    assert caught.value.key == "name"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("charter = 3\n", "is a whole number, not the name of a file"),
        ('charter = "nowhere.toml"\n', "cannot be read: "),
        ('charter = "."\n', "cannot be read: "),
    ],
)
def test_charter_must_name_a_file(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(line + PARTIES)
    with pytest.raises(CharterError) as caught:
        load_scenario(path)
    assert caught.value.key == "charter"
    assert says in caught.value.problem


def test_error_names_the_charter_file_where_the_key_stands(tmp_path: Path) -> None:
    charter = HEAD + TASK + TRAINING.replace("5", "0") + PROTOCOL
    (tmp_path / "charter.toml").write_text(charter)
    path = tmp_path / "scenario.toml"
    path.write_text('charter = "charter.toml"\n' + PARTIES)
    with pytest.raises(CharterError, match=r"charter\.toml: training\.rounds = 0 is below 1"):
        load_scenario(path)


def test_charter_holds_nothing_of_a_world(tmp_path: Path) -> None:
    path = tmp_path / "charter.toml"
    path.write_text(text())
    with pytest.raises(CharterError, match="parties does not belong in a charter"):
        load_charter(path)
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('charter = "charter.toml"\n' + PARTIES)
    with pytest.raises(CharterError, match="parties does not belong in a charter"):
        load_scenario(scenario)


def test_charter_alone_is_validated(tmp_path: Path) -> None:
    path = tmp_path / "charter.toml"
    path.write_text(HEAD + TASK.replace("softmax", "logistic") + TRAINING + PROTOCOL)
    with pytest.raises(CharterError, match=r"charter\.toml: task\.model\.name .*tells 2 classes"):
        load_charter(path)
    path.write_text(HEAD + TASK + TRAINING.replace("5", "'x'") + PROTOCOL)
    with pytest.raises(CharterError, match=r"charter\.toml: training\.rounds .*is a string"):
        load_charter(path)
