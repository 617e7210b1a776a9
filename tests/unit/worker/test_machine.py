"""What a container is given less than the machine has."""

import os

import pytest

from photochrom.worker.machine import Machine, machine


@pytest.fixture
def control_groups(tmp_path):
    """Writes files of control groups, and says which groups this process is in."""

    def make(own, **files):
        folder = tmp_path / "cgroup"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return machine(folder, tmp_path / "own")

    return make


def test_without_control_groups_there_are_the_machine_s_own_cores_and_memory(tmp_path):
    found = machine(tmp_path, tmp_path / "nothing")
    assert found.affinity == len(os.sched_getaffinity(0))
    assert found.quota is None
    assert found.memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_container_s_limits_count(control_groups):
    found = control_groups("0::/", **{"cpu.max": "150000 100000\n", "memory.max": f"{2**30}\n"})
    assert (found.quota, found.memory) == (1.5, 2**30)


def test_of_all_groups_that_a_process_lies_in_the_narrowest_counts(control_groups):
    files = {
        "a/cpu.max": "400000 100000",
        "a/b/cpu.max": "max 100000",
        "a/b/memory.max": "3000000",
        "a/memory.max": "1000000",
        "memory.max": "max",
    }
    found = control_groups("0::/a/b\n", **files)
    assert (found.quota, found.memory) == (4.0, 1_000_000)


def test_the_first_version_of_control_groups_says_it_in_other_files(control_groups):
    own = "4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n"
    files = {
        "cpu/box/cpu.cfs_quota_us": "50000",
        "cpu/box/cpu.cfs_period_us": "100000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/box/memory.limit_in_bytes": "5000000",
    }
    found = control_groups(own, **files)
    assert (found.quota, found.memory) == (0.5, 5_000_000)


def test_a_group_whose_folder_is_not_to_be_seen_is_that_of_the_container(control_groups):
    found = control_groups("0::/on/the/host\n", **{"cpu.max": "200000 100000"})
    assert found.quota == 2


@pytest.mark.parametrize("text", ["", "nonsense", "100000 0", "max"])
def test_what_is_no_limit_limits_nothing(control_groups, text):
    assert control_groups("0::/", **{"cpu.max": text, "memory.max": text}).quota is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (0.2, 1), (1.0, 1), (1.6, 2), (2.2, 2), (64.0, 8)])
def test_cores_are_what_a_quota_leaves_of_them(quota, cores):
    assert Machine(8, quota, None).cores == cores
