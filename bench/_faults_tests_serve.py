"""Faults of servers that tests inject: on the real control plane, and on processes of their own."""

from typing import Final

from bench._faults_row import Fault, tested

_LOADED: Final = "0 calls of GetMetricSpec fail, both answer alike, no replica goes"
_HELD: Final = "no replica goes, every poll gets its metric spec"


def faults() -> list[Fault]:
    return [*_under_load(), *_of_one_server(), *_of_clocks(), *_of_restarts()]


def _under_load() -> list[Fault]:
    where = "tests/e2e/test_high_availability.py"
    ahead = f"{where}::test_one_servers_clock_that_is_ahead_takes_no_replica_away"
    return [
        _serve(
            "rolling-update",
            "Both servers are replaced, one after the other",
            _LOADED,
            f"{where}::test_a_rolling_update_fails_no_call",
        ),
        _serve(
            "server-killed",
            "One of two servers is killed",
            _LOADED,
            f"{where}::test_a_server_that_dies_fails_no_call_at_the_second_try",
        ),
        _serve(
            "node-drained",
            "A drained node ends one of two servers before its successor starts",
            _LOADED,
            f"{where}::test_a_drained_node_takes_one_server_and_fails_no_call",
        ),
        _serve(
            "both-evicted",
            "A drain evicts both servers of the chart at once",
            "one goes at a time",
            "tests/e2e/chart/test_life.py::test_a_drain_of_both_servers_takes_one_at_a_time",
        ),
        _serve(
            "certificates-rotated",
            "The authority is replaced: trusted beside the old one, then used, then alone",
            _LOADED,
            f"{where}::test_certificates_rotated_on_both_sides_fail_no_call",
        ),
        _serve(
            "prometheus-gone",
            "Prometheus is killed, for longer than an answer stands",
            f"{_LOADED}; KEDA's fallback holds the replicas",
            f"{where}::test_prometheus_gone_takes_no_replica_away",
        ),
        _serve(
            "api-server-slow",
            "The API server stands still for 0.8 s of each second",
            _LOADED,
            f"{where}::test_a_slow_api_server_fails_no_call",
        ),
        _serve(
            "clock-ahead",
            "The clock of one of two servers is 2 s ahead",
            _LOADED,
            f"{ahead}[by-little-at most 60]",
        ),
        _serve(
            "clock-an-hour-ahead",
            "The clock of one of two servers is an hour ahead",
            "0 calls of GetMetricSpec fail, no replica goes",
            f"{ahead}[by-an-hour-at most 60]",
        ),
    ]


def _of_one_server() -> list[Fault]:
    where = "tests/e2e/test_faults.py"
    part = f"{where}::test_a_part_of_keda_that_is_restarted_goes_on"
    return [
        _serve(
            "no-server",
            "The only server is killed, for many polls",
            "no replica goes; polls fail while there is none",
            f"{where}::test_no_server_at_all_holds_what_runs[above-fallback]",
        ),
        _serve(
            "both-servers-killed",
            "Both servers are killed and started again",
            "no replica goes; polls fail while there is none",
            f"{where}::test_two_servers_that_die_together_take_no_replica_away",
        ),
        _serve(
            "keda-operator-restarted",
            "KEDA's operator ends, and demand rises before it is back",
            _HELD,
            f"{part}[keda-operator]",
        ),
        _serve(
            "keda-adapter-restarted",
            "KEDA's metrics server ends, and demand rises before it is back",
            _HELD,
            f"{part}[keda-adapter]",
        ),
        _serve(
            "prometheus-emptied",
            "Prometheus starts again without its data",
            _HELD,
            f"{where}::test_prometheus_that_is_emptied_takes_no_replica_away",
        ),
        _serve(
            "prometheus-frozen",
            "Prometheus takes connections and answers nothing",
            _HELD,
            f"{where}::test_prometheus_that_is_frozen_takes_no_replica_away",
        ),
        _serve(
            "series-renamed",
            "A new version of the engine calls all its series by other names",
            _HELD,
            f"{where}::test_series_that_were_renamed_take_no_replica_away",
        ),
        _serve(
            "planner-killed",
            "The planning process is killed",
            _HELD,
            f"{where}::test_a_planning_process_that_dies_takes_no_replica_away",
        ),
        _serve(
            "planner-hangs",
            "The planning process stands still",
            _HELD,
            f"{where}::test_a_planning_process_that_hangs_takes_no_replica_away",
        ),
    ]


def _of_clocks() -> list[Fault]:
    where = "tests/e2e/test_clock.py"
    return [
        _serve(
            "clock-set-forward",
            "The only server's clock is set an hour forward, and right again",
            _HELD,
            f"{where}::test_a_clock_set_forward_and_right_again_takes_no_replica_away",
        ),
        _serve(
            "clock-set-back",
            "The only server's clock is set an hour back, and right again",
            _HELD,
            f"{where}::test_a_clock_set_back_and_right_again_takes_no_replica_away",
        ),
        _serve(
            "machine-suspended",
            "The only server's machine is suspended for ten minutes",
            _HELD,
            f"{where}::test_a_machine_that_was_suspended_takes_no_replica_away",
        ),
    ]


def _of_restarts() -> list[Fault]:
    where = "tests/foresail/test_restarts.py"
    return [
        _serve(
            "killed-without-source",
            "A server is killed and started again while its source does not answer",
            "the first answer is the last one before",
            f"{where}::test_a_killed_server_answers_its_first_question_with_no_less_than_before",
        ),
        _serve(
            "joins-without-source",
            "A second server joins while the source does not answer",
            "its first answer is its peer's",
            f"{where}::test_a_joining_server_answers_its_first_question_as_its_peer_does[mtls]",
        ),
    ]


def _serve(name: str, fault: str, expected: str, test: str) -> Fault:
    return tested("serve", name, fault, expected, test)
