"""The store: what is written comes back, damage is found, and failures are one sentence."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys

import light_study
import numpy as np
import pytest
import scipy.stats

from widthwise.experiments.execute import run_jobs
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import DamagedBlock, Store, StoreError, provenance
from widthwise.finite.estimators import PowerSums

JOB = Job("0123456789abcdef", "mean", 7, '{"members": 3}')


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "study", spec="seed = 1\n", provenance={"widthwise": "0"})


def path_of(store, name):
    return store.directory / "blocks" / f"{name}.zip"


ARRAYS = {
    "matrix": np.random.default_rng(0).normal(size=(3, 4)),
    "negative_zero": np.array([-0.0, 0.0, np.nan, np.inf, 5e-324]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every_other": np.arange(10)[::2],
    "number": np.array(3, dtype=np.uint8),
    "complex": np.array([1 + 2j, -3j], dtype=np.complex64),
    "truth": np.array([[True, False]]),
    "none": np.zeros((0, 3), dtype=np.int16),
    "half": np.array([0.5], dtype=np.float16),
    "big_endian": np.array([1.5, 2.5], dtype=">f8"),
}


def test_arrays_come_back_bit_for_bit(store):
    store.write(JOB, ARRAYS, 1.25)
    found = Store.open(store.directory).read(JOB.name)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype.newbyteorder("="), name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.astype(found[name].dtype).tobytes(), name
        assert found[name].flags.writeable, name
    assert store.done() == {JOB.name}
    assert store.seconds(JOB.name) == 1.25


def test_zarr_reads_a_block(store):
    zarr = pytest.importorskip("zarr")
    store.write(JOB, ARRAYS, 1.25)
    with contextlib.closing(zarr.storage.ZipStore(path_of(store, JOB.name), mode="r")) as file:
        group = zarr.open_group(file, mode="r")
        assert group.attrs["name"] == JOB.name
        assert set(group.array_keys()) == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert np.array_equal(group[name][...], array, equal_nan=array.dtype.kind == "f"), name


def test_equal_arrays_are_equal_files_but_for_the_seconds(tmp_path):
    files = []
    for seconds in (0.1, 98765.4321):
        store = Store.create(tmp_path / str(seconds), spec="", provenance={})
        store.write(JOB, ARRAYS, seconds)
        files.append((store.digest(), path_of(store, JOB.name).read_bytes()))
    (digest, first), (other, second) = files
    assert digest == other
    assert first != second
    assert len(first) == len(second)
    changed = Store.create(tmp_path / "changed", spec="", provenance={})
    changed.write(JOB, ARRAYS | {"half": np.array([0.25], dtype=np.float16)}, 0.1)
    assert changed.digest() != digest


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array(1, "M8[s]")])
def test_only_numbers_are_stored(store, array):
    with pytest.raises(ValueError, match=r"array 'x' has dtype .*; a store keeps"):
        store.write(JOB, {"x": array}, 0.0)
    assert store.names() == []


@pytest.mark.parametrize("name", ["a/b", "", "..", "__a", "zarr.json"])
def test_names_zarr_forbids_are_refused(store, name):
    with pytest.raises(ValueError, match="an array cannot be called"):
        store.write(JOB, {name: np.ones(1)}, 0.0)


# Damage. ------------------------------------------------------------------------------------------


def test_every_changed_byte_and_every_truncation_is_found(store):
    store.write(JOB, {"x": np.arange(3.0)}, 0.5)
    path, draw = path_of(store, JOB.name), np.random.default_rng(5)
    whole = path.read_bytes()
    positions = [*range(0, len(whole), 7), *range(len(whole) - 130, len(whole))]
    for position in positions:
        wrong = bytearray(whole)
        wrong[position] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(wrong))
        assert store.done() == set(), position
        with pytest.raises(DamagedBlock, match=f"block {JOB.name} is damaged"):
            store.read(JOB.name)
    for length in (0, 1, 63, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert store.damaged() == {JOB.name}, length
    path.write_bytes(whole + b"x")
    assert store.damaged() == {JOB.name}
    path.write_bytes(whole)
    assert store.done() == {JOB.name}


def test_a_block_in_another_ones_place_is_found(store):
    other = Job(JOB.point, JOB.quantity, 8, JOB.payload)
    store.write(JOB, {"x": np.ones(1)}, 0.5)
    shutil.copy(path_of(store, JOB.name), path_of(store, other.name))
    assert store.done() == {JOB.name}
    with pytest.raises(DamagedBlock, match="its file holds block"):
        store.read(other.name)


def test_a_run_computes_damaged_blocks_and_no_others_anew(tmp_path):
    store = light_study.run(str(tmp_path / "study"))
    digest, names = store.digest(), store.names()
    before = {name: path_of(store, name).stat().st_mtime_ns for name in names}
    corrupted, truncated, missing = names[1], names[10], names[-1]
    data = bytearray(path_of(store, corrupted).read_bytes())
    data[300] ^= 4
    path_of(store, corrupted).write_bytes(bytes(data))
    os.truncate(path_of(store, truncated), 100)
    path_of(store, missing).unlink()
    store = Store.open(store.directory)
    assert store.damaged() == {corrupted, truncated}
    said = []
    made = run_jobs(light_study.jobs(), light_study.compute, store, progress=said.append)
    assert (made.computed, made.damaged) == (3, 2)
    assert said[0].message == "2 damaged blocks are computed anew"
    assert store.digest() == digest
    after = {name: path_of(store, name).stat().st_mtime_ns for name in names}
    assert {n for n in names if after[n] != before[n]} == {corrupted, truncated, missing}


def test_a_block_of_another_payload_is_computed_anew(store):
    store.write(JOB, {"x": np.ones(1)}, 0.5)
    larger = Job(JOB.point, JOB.quantity, JOB.block, '{"members": 4}')
    assert store.pending([JOB]) == []
    assert store.pending([larger]) == [larger]


# The disk refuses. --------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(place, size):
    """A file system in memory of so many bytes, where this user may mount one."""
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def wide(payload):
    seed = json.loads(payload)["seed"]
    return {"x": np.random.default_rng(seed).normal(size=20_000)}


def test_a_full_file_system_stops_the_run_and_the_store_still_opens(tmp_path):
    jobs = light_study.jobs()
    reference = Store.create(tmp_path / "reference", spec="", provenance={})
    run_jobs(jobs, wide, reference)
    with mounted(tmp_path / "disk", 1_000_000) as disk:
        store = Store.create(disk / "study", spec="seed = 1\n", provenance={})
        with pytest.raises(StoreError) as caught:
            run_jobs(jobs, wide, store)
        message = str(caught.value)
        assert message.count("\n") == 1
        assert "no space is left for block" in message
        assert f"widthwise resume {store.directory}" in message
        kept = Store.open(disk / "study")
        assert 2 <= len(kept.done()) < len(jobs)
        assert kept.damaged() == set()
        assert list((kept.directory / "unfinished").iterdir()) == []
        assert kept.spec == "seed = 1\n"
        remount(disk, "size=50000000")
        run_jobs(jobs, wide, kept)
        assert kept.digest() == reference.digest()


def test_a_read_only_file_system_is_one_message_and_can_be_read(tmp_path):
    with mounted(tmp_path / "disk", 5_000_000) as disk:
        store = Store.create(disk / "study", spec="", provenance={})
        run_jobs(light_study.jobs(4), light_study.compute, store)
        remount(disk, "ro")
        kept = Store.open(disk / "study")
        assert len(kept.done()) == 4
        assert kept.read(light_study.jobs()[0].name)["count"] == 64
        with pytest.raises(StoreError, match="read-only") as caught:
            run_jobs(light_study.jobs(), light_study.compute, kept)
        assert str(caught.value).count("\n") == 1
        with pytest.raises(StoreError, match="a new study cannot be written"):
            Store.create(disk / "another", spec="", provenance={})
        remount(disk, "rw")
        assert run_jobs(light_study.jobs(), light_study.compute, kept).computed == 20


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left for block"),
        (errno.EDQUOT, "no space is left for block"),
        (errno.EROFS, "is read-only here"),
        (errno.EIO, "cannot be written to"),
    ],
)
def test_a_write_the_system_refuses_half_way_leaves_nothing(store, monkeypatch, number, words):
    store.write(JOB, {"x": np.ones(1)}, 0.5)
    write = os.write

    def half(handle, data):
        if len(data) < 1000:
            raise OSError(number, os.strerror(number))
        return write(handle, data[: len(data) // 2])  # short writes are continued

    other = Job(JOB.point, JOB.quantity, 8, JOB.payload)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(StoreError, match=words):
            store.write(other, {"x": np.ones(1000)}, 0.5)
        with pytest.raises(StoreError, match=words):  # and the old block stays
            store.write(JOB, {"x": np.zeros(1)}, 0.5)
    assert store.names() == [JOB.name]
    assert store.read(JOB.name)["x"] == 1
    assert list((store.directory / "unfinished").iterdir()) == []


def test_short_writes_are_continued(store, monkeypatch):
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, data: write(handle, data[:100]))
        store.write(JOB, ARRAYS, 0.5)
    assert store.done() == {JOB.name}


# One writer. --------------------------------------------------------------------------------------

HOLD = """
import fcntl, json, os, socket, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_killed(store):
    lock = store.directory / "lock"
    words = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            said = rf"is being written by process {holder.pid} on {socket.gethostname()}"
            with pytest.raises(StoreError, match=said):
                store.write(JOB, {"x": np.ones(1)}, 0.5)
            with pytest.raises(StoreError, match=said):
                run_jobs(light_study.jobs(), light_study.compute, store)
            assert Store.open(store.directory).done() == set()  # reading needs no lock
        finally:
            holder.kill()
    assert str(holder.pid) in lock.read_text()  # stale, and recognized
    store.write(JOB, {"x": np.ones(1)}, 0.5)
    assert lock.read_text() == ""


def test_two_stores_of_one_process_do_not_write_together(store):
    other = Store.open(store.directory)
    with store.writing(), store.writing(), pytest.raises(StoreError, match=str(os.getpid())):
        other.write(JOB, {"x": np.ones(1)}, 0.5)
    other.write(JOB, {"x": np.ones(1)}, 0.5)


def test_a_lock_of_another_host_is_believed(store):
    lock = store.directory / "lock"
    lock.write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(StoreError, match="process 1 on elsewhere; if it runs no more, remove"):
        store.write(JOB, {"x": np.ones(1)}, 0.5)
    lock.unlink()
    store.write(JOB, {"x": np.ones(1)}, 0.5)


def test_without_locks_in_the_file_system_the_text_decides(store, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock, host = store.directory / "lock", socket.gethostname()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        lock.write_text(json.dumps({"pid": alive.pid, "host": host}))
        with pytest.raises(StoreError, match=f"process {alive.pid} on {host}; wait until it ends"):
            store.write(JOB, {"x": np.ones(1)}, 0.5)
        alive.kill()
        alive.wait()
        store.write(JOB, {"x": np.ones(1)}, 0.5)
    assert store.done() == {JOB.name}


# The study. ---------------------------------------------------------------------------------------


def test_specs_and_provenance_keep_their_history(store):
    store.extend("seed = 1\nmore = true\n")
    store.extend("seed = 1\nmore = true\n")
    store.record({"widthwise": "0"})
    store.record({"widthwise": "1"})
    again = Store.open(store.directory)
    assert again.spec == "seed = 1\nmore = true\n"
    assert again.specs == ("seed = 1\n", "seed = 1\nmore = true\n")
    assert again.provenance == ({"widthwise": "0"}, {"widthwise": "1"})


def test_a_spec_changed_by_hand_is_found(store):
    next((store.directory / "specs").iterdir()).write_text("seed = 2\n")
    with pytest.raises(ValueError, match="was changed after the study was made"):
        _ = store.spec


def test_making_and_opening_the_wrong_directory(store, tmp_path):
    with pytest.raises(ValueError, match="holds a study already; continue it"):
        Store.create(store.directory, spec="", provenance={})
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(ValueError, match="is not empty and no study"):
        Store.create(tmp_path / "letters", spec="", provenance={})
    for wrong in (tmp_path / "letters", tmp_path / "nowhere", tmp_path / "letters" / "a.txt"):
        with pytest.raises(ValueError, match="is no study"):
            Store.open(wrong)
    (store.directory / "store.json").write_text('{"format": "widthwise study", "version": 9}')
    with pytest.raises(ValueError, match="but this version of widthwise reads"):
        Store.open(store.directory)


def test_an_interrupted_making_is_completed(store):
    (store.directory / "store.json").unlink()
    with pytest.raises(ValueError, match="was interrupted while it was made"):
        Store.open(store.directory)
    again = Store.create(store.directory, spec="seed = 2\n", provenance={})
    assert again.specs == ("seed = 2\n",)


def test_a_missing_block_is_a_key_error(store):
    with pytest.raises(KeyError, match="no block"):
        store.read(JOB.name)
    with pytest.raises(KeyError, match="no block"):
        store.seconds(JOB.name)


def test_provenance_names_software_arithmetic_and_commit(tmp_path):
    here = provenance(tmp_path)
    assert {"widthwise", "python", "numpy", "machine", "arithmetic"} <= here.keys()
    assert "git_commit" not in here
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "study.toml").write_text("")
    subprocess.run([*git, "add", "study.toml"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    commit = provenance(tmp_path)["git_commit"]
    assert len(commit) == 40
    (tmp_path / "study.toml").write_text("seed = 1")
    assert provenance(tmp_path)["git_commit"] == f"{commit} + changes"
    assert here["arithmetic"] == provenance(tmp_path)["arithmetic"]


# Very many members. -------------------------------------------------------------------------------


def test_moments_of_blocks_merge_to_those_of_all_members(store):
    """20,000 networks of one hidden layer, in power sums of 50 blocks, against all outputs."""
    draw = np.random.default_rng(4)
    points = draw.normal(size=(3, 2))
    empty = PowerSums.empty(np.zeros(3), order=4)
    kept = []
    for block in range(50):
        first, last = draw.normal(size=(400, 16, 2)), draw.normal(size=(400, 16))
        f = np.einsum("sn,snm->sm", last, np.tanh(first @ points.T)) / 4
        f = f + draw.exponential(size=f.shape)  # skewed, so that odd cumulants count
        job = Job("a" * 16, "initial", block, "{}")
        store.write(job, empty.update(f).arrays(), 0.1)
        kept.append(f)
    parts = [PowerSums.from_arrays(store.read(name)) for name in store.names()]
    merged, everything = sum_of(parts), np.concatenate(kept)
    once = empty.update(everything)
    assert merged.count == 20_000
    for key in [(0,), (1, 1), (0, 1, 2), (2, 2, 2), (0, 0, 1, 2), (1, 1, 1, 1)]:
        assert abs(merged.cumulant(key).value - once.cumulant(key).value) < 1e-12, key
    for order in (1, 2, 3, 4):
        alone = scipy.stats.kstat(everything[:, 1], order)
        assert abs(merged.cumulant((1,) * order).value - alone) < 1e-11, order
    assert sum(path_of(store, name).stat().st_size for name in store.names()) < 50 * 12_000


def sum_of(parts):
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total
