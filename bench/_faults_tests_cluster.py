"""Faults that tests inject into the processes beside the servers, and into the files they keep."""

from bench._faults_row import Fault, tested


def faults() -> list[Fault]:
    return [*_controller(), *_placement(), *_console(), *_decisions(), *_states()]


def _controller() -> list[Fault]:
    bed, here = "tests/e2e/nodes", "tests/foresail/controller"
    election = f"{here}/test_election.py"
    return [
        tested(
            "controller",
            "leader-partitioned",
            "The leader's way to the API server is cut, and whole again later",
            "never two leaders; each node is ordered once",
            f"{bed}/test_two_controllers.py"
            "::test_a_leader_that_is_cut_off_acts_no_more_once_the_other_leads",
        ),
        tested(
            "controller",
            "leader-hangs",
            "The API server takes the leader's renewals and answers none",
            "it stops acting before the other begins",
            f"{election}::test_a_leader_that_is_cut_off_stops_before_the_other_begins",
        ),
        tested(
            "controller",
            "lease-deleted",
            "Somebody deletes the Lease",
            "never two leaders",
            f"{election}::test_a_lease_that_is_deleted_makes_no_second_leader",
        ),
        tested(
            "controller",
            "clocks-apart",
            "The wall clocks of two replicas are a day apart",
            "never two leaders",
            f"{election}::test_wall_clocks_that_are_apart_change_nothing[86400.0]",
        ),
        tested(
            "controller",
            "killed-at-each-write",
            "The controller is killed after each of its writes, until its work is done",
            "each node is ordered once, nothing is left",
            f"{bed}/test_controller_killed.py::test_killed_at_each_write_of_its_cycle"
            "_it_orders_nothing_twice_and_leaves_nothing",
        ),
        tested(
            "controller",
            "order-abandoned",
            "The controller dies with an order half written, and its policy is deleted",
            "the next controller removes the order once its lease has ended",
            f"{bed}/test_controller_killed.py"
            "::test_an_order_that_nobody_goes_on_with_ends_with_its_lease[of the buffer]",
        ),
        tested(
            "controller",
            "cluster-unreadable",
            "The API server refuses a kind that the controller reads",
            "not ready, nothing written, and it says why",
            f"{here}/test_process.py::test_a_cluster_that_cannot_be_read_is_not_ready_and_says_why",
        ),
        tested(
            "controller",
            "api-server-throttles",
            "The API server answers 429, 500 and 503, forgets versions and cuts watches",
            "the next pod is planned for",
            f"{here}/test_process.py::test_throttling_forgotten_versions_and_cut_watches_pass",
        ),
        tested(
            "controller",
            "changes-refused",
            "The API server refuses what the controller writes",
            "counted, and the process goes on",
            f"{here}/test_process.py"
            "::test_a_server_that_refuses_changes_is_counted_and_asked_again_later",
        ),
        tested(
            "controller",
            "controller-clock-set",
            "The controller's wall clock is set two hours back",
            "one round is not carried out, then they go on",
            f"{here}/test_controller.py"
            "::test_after_the_wall_clock_was_set_one_round_is_not_carried_out[-7200.0]",
        ),
        tested(
            "controller",
            "plans-unheard",
            "The servers' plans are not heard of any more",
            "no forecast, no order, no node let go",
            f"{here}/test_controller.py::test_planned_replicas_count_and_silence_orders_nothing",
        ),
    ]


def _placement() -> list[Fault]:
    webhook = "tests/scheduler/test_webhook.py"
    return [
        tested(
            "extender",
            "extender-killed",
            "The extender is killed while pods come",
            "the real kube-scheduler binds them; later its work is counted",
            "tests/e2e/test_scheduler.py::test_pods_are_bound_while_the_extender_is_away",
        ),
        tested(
            "extender",
            "extender-watch-down",
            "The extender's watch of pods is refused",
            "every node passes, not ready, and it says why",
            "tests/foresail/test_scheduling.py"
            "::test_while_a_watch_is_down_nothing_is_turned_away_and_it_says_so",
        ),
        tested(
            "webhook",
            "webhook-killed",
            "The webhook is killed while a Deployment with a need comes",
            "the Deployment says why; its pod comes when it is back",
            "tests/e2e/test_claims.py::test_a_deployment_gets_its_pods_once_the_webhook_is_back",
        ),
        tested(
            "webhook",
            "classes-unreadable",
            "DeviceClasses can no longer be read",
            "pods are admitted by those known",
            "tests/foresail/test_webhook.py"
            "::test_classes_that_can_no_longer_be_read_leave_it_ready",
        ),
        tested(
            "webhook",
            "api-server-hangs",
            "The API server takes the webhook's template and does not answer",
            "the pod is refused in words within the API server's 5 s",
            f"{webhook}::test_an_api_server_that_does_not_answer_is_given_up_in_time",
        ),
        tested(
            "agent",
            "report-refused",
            "The API server refuses a node's report",
            "written in the next round",
            "tests/agent/test_rounds.py::test_a_refused_report_is_written_again_in_the_next_round",
        ),
        tested(
            "agent",
            "driver-missing",
            "The NVIDIA driver is not there when the agent starts",
            "GPUs are unknown, not zero, and found in the next round",
            "tests/agent/test_rounds.py::test_a_driver_that_comes_later_is_found",
        ),
    ]


def _console() -> list[Fault]:
    where = "tests/foresail/controller/test_console_source.py"
    return [
        tested(
            "console",
            "console-plans-old",
            "A workload's plans are not heard of any more",
            "it is shown, with the age of its last plan",
            f"{where}::test_a_plan_that_is_not_heard_of_again_stands_no_longer",
        ),
    ]


def _decisions() -> list[Fault]:
    keeper = "tests/foresail/test_decision_keeper.py"
    log = "tests/foresail/test_decision_log.py"
    return [
        tested(
            "decision log",
            "decisions-unwritable",
            "The folder of the decision log cannot be written to for a while",
            "said once, kept later",
            f"{keeper}::test_a_disk_that_does_not_work_is_named_once_and_nothing_is_lost_meanwhile",
        ),
        tested(
            "decision log",
            "decisions-locked",
            "Another program locks the file",
            "said once, kept later",
            f"{keeper}::test_a_file_that_somebody_has_locked_is_waited_for",
        ),
        tested(
            "decision log",
            "decisions-disk-full",
            "The disk stays full beyond what may wait in memory",
            "what waits is bounded, the gap is said",
            f"{keeper}::test_what_waits_too_long_is_given_up_and_the_gap_is_shown",
        ),
        tested(
            "decision log",
            "decisions-damaged",
            "The file is no database",
            "set aside, later decisions are kept",
            f"{log}::test_a_file_that_is_damaged_while_it_is_used_is_set_aside_too",
        ),
    ]


def _states() -> list[Fault]:
    where = "tests/state/test_files.py"
    return [
        tested(
            "state files",
            "state-damaged",
            "A bit of the states' file is wrong",
            "named; the whole states before it are read",
            f"{where}::test_a_damaged_file_is_named_and_costs_its_own_states",
        ),
        tested(
            "state files",
            "state-disk-full",
            "The disk is full in the middle of a state",
            "the states before and after it are read",
            f"{where}::test_an_append_that_the_disk_cut_off_is_undone",
        ),
        tested(
            "state files",
            "state-unwritable",
            "The folder of the states cannot be written to for a while",
            "said once, written when it works",
            f"{where}::test_a_disk_that_cannot_be_written_is_said_once_and_again_when_it_works",
        ),
    ]
