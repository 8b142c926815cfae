from benchmarks.machine import Cores, mark, parse_cpus, pick, remarks


def apart(*cpus: int) -> dict[int, frozenset[int]]:
    return {cpu: frozenset({cpu}) for cpu in cpus}


def test_server_and_load_generator_get_a_core_each() -> None:
    assert pick({3, 1, 2}, apart(1, 2, 3)) == Cores(server=1, load=2)


def test_the_other_thread_of_the_servers_core_is_passed_over() -> None:
    siblings = {0: frozenset({0, 1}), 1: frozenset({0, 1}), 2: frozenset({2, 3}), 3: frozenset({2, 3})}
    assert pick({0, 1, 2, 3}, siblings) == Cores(server=0, load=2)


def test_two_threads_of_one_core_are_better_than_none_and_are_remarked_upon() -> None:
    cores = pick({0, 1}, dict.fromkeys((0, 1), frozenset({0, 1})))
    assert cores == Cores(server=0, load=1, siblings=True)
    assert mark(cores) == ["shared core"]
    assert "slow each other down" in remarks(cores)[0]


def test_one_core_is_shared_and_remarked_upon() -> None:
    cores = pick({5}, apart(5))
    assert cores == Cores(server=5, load=None)
    assert mark(cores) == ["shared core"]
    assert "no figure here is worth keeping" in remarks(cores)[0]


def test_two_cores_need_no_remark() -> None:
    assert mark(Cores(server=0, load=1)) == []
    assert remarks(Cores(server=0, load=1)) == []


def test_a_list_of_cpus_is_read_as_the_kernel_writes_it() -> None:
    assert parse_cpus("0,64\n") == {0, 64}
    assert parse_cpus("0-2,7\n") == {0, 1, 2, 7}
