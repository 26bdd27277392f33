"""How much memory there is: that of the system, of the group, and its end."""

import math
import resource
import sys

import memory
import pytest
import torch
from memory import available_memory, group_memory, memory_limit

GIB = 2**30


def group(folder, version, limit, used, cache=(0, 0)):
    """The files of a control group, as Linux writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = memory.GROUP_FILES[version]
    for name, value in zip(names, (limit, used)):
        (folder / name).write_text(f"{value}\n")
    lines = ["anon 5", *map("{} {}".format, memory.CACHE[version], cache)]
    if version == 1:  # of this group without those within
        lines += ["inactive_file 7", "active_file 9"]
    (folder / "memory.stat").write_text("\n".join(lines) + "\n")


@pytest.fixture
def table(tmp_path):
    """Writes a table of groups, returns its path and the root of the groups."""

    def write(*lines):
        """A line for each hierarchy."""
        (tmp_path / "table").write_text("".join(f"{x}\n" for x in lines))
        return str(tmp_path / "table"), str(tmp_path / "groups")

    return write


@pytest.mark.parametrize("version, line", [(1, "4:memory:/a"), (2, "0::/a")])
def test_files_that_are_kept_in_memory_do_not_count(
    version, line, table, tmp_path
):
    """A corpus that has been read twice fills the group."""
    root = tmp_path / "groups" / ("memory" if version == 1 else "")
    group(root / "a", version, 8 * GIB, 8 * GIB, (GIB, 5 * GIB))
    assert group_memory(*table(line)) == 6 * GIB


def test_the_tightest_group_around_the_process_counts(table, tmp_path):
    paths = table("0::/slurm/job_1/step_0")
    group(tmp_path / "groups/slurm/job_1/step_0", 2, "max", GIB)
    group(tmp_path / "groups/slurm/job_1", 2, 4 * GIB, 3 * GIB)
    group(tmp_path / "groups/slurm", 2, 9 * GIB, 7 * GIB)
    group(tmp_path / "groups/slurm/job_2", 2, GIB, GIB)  # of others
    assert group_memory(*paths) == GIB


def test_group_of_version_1_counts_if_it_is_that_of_memory(table, tmp_path):
    paths = table("9:cpu,cpuacct:/cpu", "4:hugetlb,memory:/a", "0::/")
    group(tmp_path / "groups/memory/a", 1, 5 * GIB, 2 * GIB)
    group(tmp_path / "groups/cpu", 2, GIB, GIB)
    assert group_memory(*paths) == 3 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_in_a_container_its_own_root_counts(version, table, tmp_path):
    """The table names the path on the host, which is not seen there."""
    line = "4:memory:/docker/1f" if version == 1 else "0::/../docker/1f"
    root = tmp_path / "groups" / ("memory" if version == 1 else "")
    paths = table(line)
    group(root, version, 2 * GIB, GIB)
    assert group_memory(*paths) == GIB


def test_a_group_over_its_limit_has_nothing_left(table, tmp_path):
    paths = table("0::/")
    group(tmp_path / "groups", 2, GIB, 2 * GIB)
    assert group_memory(*paths) == 0


@pytest.mark.parametrize(
    "lines", [[], ["0::/"], ["nonsense"], ["4:memory:/none"]]
)
def test_without_a_limit_it_is_infinite(lines, table, tmp_path):
    paths = table(*lines)
    group(tmp_path / "groups", 2, "max", GIB)
    assert group_memory(*paths) == math.inf
    assert group_memory(str(tmp_path / "missing")) == math.inf


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_this_process_is_told_what_it_may_take():
    assert group_memory() > 0
    assert available_memory() > 0


@pytest.mark.parametrize(
    "left, with_swap, available",
    [(math.inf, False, 8), (math.inf, True, 10), (9, True, 9), (2, False, 2)],
)
def test_available_is_what_system_and_group_have_left(
    left, with_swap, available, monkeypatch
):
    found = {"MemAvailable": 8, "SwapFree": 2}
    monkeypatch.setattr(memory, "proc_bytes", lambda _, name: found[name])
    monkeypatch.setattr(memory, "group_memory", lambda: left)
    assert available_memory(with_swap) == available


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("left", [math.inf, 2**28])
def test_more_memory_than_there_is_cannot_be_had(processes, left, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    with memory_limit():
        pass  # its threads are there from now on
    data = memory.proc_bytes("/proc/self/status", "VmData")
    found = {"MemAvailable": 2**28, "SwapFree": 2**28, "VmData": data}
    monkeypatch.setattr(memory, "proc_bytes", lambda _, name: found[name])
    monkeypatch.setattr(memory, "group_memory", lambda: left)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit() as limit:
        assert limit == data + min(2**29, left) // processes
        torch.empty(2**26, dtype=torch.uint8)
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            torch.empty(2**30, dtype=torch.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    torch.empty(2**30, dtype=torch.uint8)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
@pytest.mark.parametrize("name", ["MemAvailable", "VmData", "all"])
def test_a_system_that_does_not_tell_sets_no_limit(name, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("SwapFree: 5 kB\nVmPeak: 1 kB\n")
    own = memory.proc_bytes

    def changed(path, wanted):
        if name == "all":
            return own(tmp_path / "nothing", wanted)
        return own(tmp_path / "file" if wanted == name else path, wanted)

    assert own(tmp_path / "file", "SwapFree") == 5120
    monkeypatch.setattr(memory, "proc_bytes", changed)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit() as limit:
        assert limit is None
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
