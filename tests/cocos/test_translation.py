"""Computations of the Cocos manager -> submissions of ours."""

import base64
import json
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from supervisor.cocos.computation import Computation, Party, Untranslatable, read_computation
from supervisor.cocos.durations import parse_go_duration
from supervisor.cocos.file_names import file_names
from supervisor.cocos.translation import SHAPE, Submission, translate
from supervisor.vm import rules
from supervisor.vm.commands import FieldViolation
from supervisor.vm.field_rules import VIOLATIONS
from supervisor.vm.inputs import InputName, awaited_inputs
from supervisor.vm.spec import Algorithm, Dataset, Limits, Manifest
from tests.cocos.documents import EARLIER, LATER, as_byte_values

Json = dict[str, Any]

SMALL: Json = {"id": "c-1", "owner": "Ann", "algorithms": ["mean"], "datasets": ["rain"]}
"""Enough for a computation; the tests change one thing of it."""


def submission(document: Json) -> Submission:
    return translate(read_computation(json.dumps(document).encode()))


def refusal_of(document: bytes) -> tuple[FieldViolation, ...]:
    """Return what is wrong with a document; empty if nothing is."""
    try:
        translate(read_computation(document))
    except Untranslatable as refused:
        return refused.violations
    return ()


def wrong(document: bytes | Json) -> dict[str, str]:
    """Return what is said of each wrong field."""
    sent = document if isinstance(document, bytes) else json.dumps(document).encode()
    return {each.field: each.description for each in refusal_of(sent)}


def test_the_later_shape_names_each_party_with_its_input() -> None:
    assert translate(read_computation(LATER)) == Submission(
        Manifest(
            name="Sample Computation",
            description="A sample computation",
            algorithm=Algorithm(provider="AlgorithmProvider1", id="Algorithm1"),
            datasets=(
                Dataset("Dataset1", provider="Provider1", id="Dataset1"),
                Dataset("Dataset2", provider="Provider2", id="Dataset2"),
            ),
            labels={"key1": "value1", "key2": "42"},
            vm=SHAPE,
            limits=Limits(ttl_ms=3_600_000, inputs_deadline_ms=180_000),
            result_consumers=("Consumer1", "Consumer2"),
        ),
        key="cocos:123",
        vm_id="123",
    )


def test_the_earlier_shape_pairs_names_with_providers_by_their_places() -> None:
    asked = translate(read_computation(EARLIER))
    assert awaited_inputs(asked.manifest) == (
        InputName("AlgoAI Research Labs", "Support Vector Machines"),
        InputName("SensorTech Solutions", "Sensor Data Logs"),
        InputName("Machinery Data Systems", "Machine Health Records"),
    )
    assert [each.name for each in asked.manifest.datasets] == [
        "Sensor Data Logs",
        "Machine Health Records",
    ]
    assert asked.manifest.limits == Limits(ttl_ms=48_000)
    assert asked.vm_id == "00acfe9d-5e1b-4aec-82c0-80ab8ed5ec0b"


@pytest.mark.parametrize("document", [LATER, EARLIER])
def test_a_wrapped_computation_is_the_same_one(document: bytes) -> None:
    in_base64 = json.dumps({"computation": base64.b64encode(document).decode()}).encode()
    bare = read_computation(document)
    assert read_computation(as_byte_values(document)) == bare
    assert read_computation(in_base64) == bare


@pytest.mark.parametrize(
    ("providers", "brought_by"),
    [
        (["P", "Q"], ["P", "Q"]),
        (["P"], ["P", "P"]),
        ([], ["Ann", "Ann"]),
        (None, ["Ann", "Ann"]),
        (["P", ""], ["P", "Ann"]),
    ],
)
def test_what_nobody_else_brings_is_the_owners_to_bring(
    providers: list[str] | None, brought_by: list[str]
) -> None:
    document = SMALL | {"datasets": ["a", "b"], "dataset_providers": providers}
    assert [each.provider for each in submission(document).manifest.datasets] == brought_by


def test_a_provider_beside_its_input_counts_before_those_of_the_list() -> None:
    document = SMALL | {"datasets": [{"id": "a", "provider": "P"}, {"id": "b"}]}
    document |= {"dataset_providers": ["Q"]}
    assert [each.provider for each in submission(document).manifest.datasets] == ["P", "Q"]


def test_lists_that_go_never_filled_are_empty() -> None:
    empty = {"datasets": None, "result_consumers": None, "metadata": None, "timeout": None}
    assert submission(SMALL | empty).manifest.datasets == ()


def test_a_computation_without_a_name_gets_one() -> None:
    assert submission(SMALL).manifest.name == "computation"


@pytest.mark.parametrize(
    ("computation_id", "key", "vm_id"),
    [
        ("c-1", "cocos:c-1", "c-1"),
        ("Comp 1", "cocos:Comp 1", None),
        ("", None, None),
    ],
)
def test_an_id_is_the_key_and_where_it_can_be_the_vms_own(
    computation_id: str, key: str | None, vm_id: str | None
) -> None:
    asked = submission(SMALL | {"id": computation_id})
    assert (asked.key, asked.vm_id) == (key, vm_id)


@pytest.mark.parametrize("computation_id", ["x" * 1000, "größe", "a\nb"])
def test_an_id_that_can_be_no_key_still_names_one_computation(computation_id: str) -> None:
    asked = submission(SMALL | {"id": computation_id})
    assert asked.key is not None
    assert rules.check_idempotency_key(asked.key) == ()
    assert asked == submission(SMALL | {"id": computation_id})
    assert asked.key != submission(SMALL | {"id": f"{computation_id}!"}).key


def test_metadata_becomes_labels_where_it_fits() -> None:
    metadata = {"team": "weather", "runs": 3, "ratio": 0.5, "dry": True, "no good": "x"}
    metadata |= {"note": "two words", "nested": {"a": 1}, "nothing": None, "long": "x" * 64}
    labels = submission(SMALL | {"metadata": metadata}).manifest.labels
    assert labels == {"team": "weather", "runs": "3", "ratio": "0.5", "dry": "true"}


def test_of_much_metadata_as_much_is_kept_as_there_may_be_labels() -> None:
    many = {f"k{number}": number for number in range(rules.LABELS + 10)}
    assert len(submission(SMALL | {"metadata": many}).manifest.labels) == rules.LABELS


def test_dataset_files_are_named_after_their_ids_and_each_once() -> None:
    ids = ["a/b", "a_b", "a_b", "..", "", "new\nline", "é" * 100]
    names = file_names(ids)
    assert names[:6] == ("a_b", "a_b-2", "a_b-3", "_", "_-2", "new_line")
    assert names[6] == "é" * 64


@pytest.mark.parametrize(
    ("document", "field", "says"),
    [
        (b"", "body", "is not JSON"),
        (b"[]", "body", "one JSON object"),
        (b"[" * 100_000, "body", "is not"),
        (b'{"computation": []}', "computation", "is not JSON"),
        (b'{"computation": [123, 300]}', "computation", "array of byte values, 0 to 255"),
        (b'{"computation": [true]}', "computation", "array of byte values"),
        (b'{"computation": "%%%"}', "computation", "array of byte values"),
        (b'{"computation": {"id": "c"}}', "computation", "array of byte values"),
        (b'{"computation": [91, 93]}', "computation", "one JSON object"),
        (b'{"computation": [123, 125], "id": "c"}', "id", "stands beside 'computation'"),
        (SMALL | {"algorithms": []}, "algorithms", "got 0; it takes exactly one algorithm"),
        (SMALL | {"algorithms": ["a", "b"]}, "algorithms", "got 2; it takes exactly one"),
        (SMALL | {"algorithms": ["mean", 7]}, "algorithms[1]", "got 7; it takes text"),
        (SMALL | {"algorithms": [{"provider": "P"}]}, "algorithms[0].id", "missing"),
        (SMALL | {"algorithms": [""]}, "algorithms[0]", "has no id"),
        (SMALL | {"owner": ""}, "algorithms[0]", "has no provider"),
        (
            SMALL | {"datasets": ["a", "b", "c"], "dataset_providers": ["P", "Q"]},
            "dataset_providers",
            "got 2 providers for 3 datasets; it takes one for each of them, one for all, or none",
        ),
        (SMALL | {"dataset_providers": ["P" * 129]}, "datasets[0].provider", "128 characters"),
        (SMALL | {"datasets": ["rain", "rain"]}, "datasets[1].id", "for no other input"),
        (SMALL | {"datasets": ["d"] * 65}, "datasets", "got 65 entries"),
        (SMALL | {"datasets": "rain"}, "datasets", "it takes a list"),
        (SMALL | {"result_consumers": ["C", "C"]}, "result_consumers[1]", "it takes"),
        (SMALL | {"result_consumers": [f"C{n}" for n in range(17)]}, "result_consumers", "17"),
        (SMALL | {"ttl": 0}, "ttl", "got 0; it takes 1 s to 30 d, in seconds"),
        (SMALL | {"ttl": 10**40}, "ttl", "it takes 1 s to 30 d"),
        (SMALL | {"ttl": "48"}, "ttl", "it takes a whole number"),
        (SMALL | {"timeout": "soon"}, "timeout", 'got "soon"; it takes a duration such as "3m0s"'),
        (SMALL | {"timeout": "1ns"}, "timeout", "it takes 1 s to 30 d"),
        (SMALL | {"metadata": ["a"]}, "metadata", "got"),
        (SMALL | {"name": "a/b"}, "name", "without '/'"),
        (SMALL | {"description": "x" * 5000}, "description", "at most 4096"),
        (SMALL | {"id": 7}, "id", "got 7; it takes text"),
        (SMALL | {"algoritms": ["x"]}, "algoritms", 'did you mean "algorithms"?'),
    ],
)
def test_what_is_wrong_is_told_by_its_name(document: bytes | Json, field: str, says: str) -> None:
    assert says in wrong(document)[field]


def test_of_more_datasets_than_there_may_be_none_is_looked_at() -> None:
    # To find each a name of its own takes the longer the more there are.
    told = "got 65 entries; it takes 0 to 64"
    assert wrong(SMALL | {"datasets": [""] * 65}) == {"datasets": told}


def test_no_more_faults_are_told_than_anybody_mends() -> None:
    document = json.dumps(SMALL | {"datasets": [0] * 1000}).encode()
    assert len(refusal_of(document)) == VIOLATIONS


def test_every_wrong_field_is_told_at_once() -> None:
    found = wrong({"ttl": "1", "timeout": 3, "algorithms": "x", "datasets": [1], "name": None})
    assert found.keys() == {"ttl", "timeout", "algorithms", "datasets[0]", "name"}


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("3m0s", 180_000),
        ("1h30m", 5_400_000),
        ("1.5s", 1500),
        (".5h", 1_800_000),
        ("1.s", 1000),
        ("100ms", 100),
        ("1500us", 1),
        ("2000µs", 2),
        ("2000μs", 2),
        ("999999ns", 0),
    ],
)
def test_durations_are_read_as_go_reads_them(written: str, milliseconds: int) -> None:
    assert parse_go_duration(written) == milliseconds


@pytest.mark.parametrize(
    "written", ["", "3", "m", "3 m", "-3m", "3m0", "3d", "1e3s", "٣m", "1s" * 17]
)
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_go_duration(written)


WORDS = st.text(max_size=20) | st.sampled_from(["", "a", "a/b", "..", "x" * 200])
PARTIES = st.lists(WORDS | st.builds(Party, id=WORDS, provider=WORDS), max_size=3)
COMPUTATIONS = st.builds(
    Computation,
    id=WORDS,
    name=WORDS,
    description=WORDS,
    owner=WORDS,
    datasets=PARTIES.map(tuple) | st.none(),
    algorithms=PARTIES.map(tuple) | st.none(),
    dataset_providers=st.lists(WORDS, max_size=3).map(tuple) | st.none(),
    algorithm_providers=st.lists(WORDS, max_size=2).map(tuple) | st.none(),
    result_consumers=st.lists(WORDS, max_size=3).map(tuple) | st.none(),
    ttl=st.integers() | st.none(),
    metadata=st.dictionaries(WORDS, WORDS | st.integers() | st.floats() | st.none(), max_size=5),
    timeout=WORDS | st.sampled_from(["3m0s", "1h"]) | st.none(),
)


@given(COMPUTATIONS)
def test_whatever_is_asked_becomes_a_sound_submission_or_a_named_refusal(
    computation: Computation,
) -> None:
    try:
        asked = translate(computation)
    except Untranslatable as refused:
        known = Computation.__struct_fields__
        fields = [each.field.partition("[")[0] for each in refused.violations]
        assert fields
        assert set(fields) <= set(known)
    else:
        assert rules.check(asked.manifest) == ()
        assert asked.key is None or rules.check_idempotency_key(asked.key) == ()
        assert asked.vm_id is None or rules.check_vm_id(asked.vm_id) == ()
        parties = 1 + len(computation.datasets or ())
        assert len(awaited_inputs(asked.manifest)) == parties


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["computation", *Computation.__struct_fields__]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(ANY_JSON.map(msgspec.json.encode) | st.binary(max_size=50))
def test_hostile_documents_are_refused_in_words(document: bytes) -> None:
    told = refusal_of(document)
    assert all(each.field and each.description for each in told)
    assert sum(len(each.description) for each in told) < 4096
