"""Training jobs, groups, Ray clusters and Kueue's objects, as their users write them.

The end-to-end tests give the same to the real API server and controllers.
"""

from typing import Any

Json = dict[str, Any]
NAMESPACE = "ml"
GPU = "nvidia.com/gpu"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
RUNS_FOR = {"pod-complete.stage.kwok.x-k8s.io/delay": "1h"}
"""Of pods of a Job on the bed, where they complete at once without it."""


NO_QUOTA = (
    "couldn't assign flavors to pod set node: insufficient unused quota for nvidia.com/gpu in "
    "flavor h100, 16 more needed"
)
NO_ROOM = (
    'couldn\'t assign flavors to pod set node: topology "hosts" allows to fit only 4 out of 5 '
    "pod(s)"
)


def template(gpus: int = 8, **spec: Any) -> Json:
    """Of a pod; with 0 GPUs it asks for none."""
    container: Json = {"name": "node", "image": "train"}
    if gpus:
        container["resources"] = {"requests": {GPU: str(gpus)}, "limits": {GPU: str(gpus)}}
    pod = {"containers": [container], "restartPolicy": "Never", **spec}
    return {"metadata": {"annotations": {**RUNS_FOR}}, "spec": pod}


def _object(api: str, kind: str, name: str, spec: Json, queue: str | None = None) -> Json:
    labels = {} if queue is None else {QUEUE_LABEL: queue}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def job_set(
    name: str,
    *,
    pods: int = 4,
    queue: str | None = None,
    suspend: bool = False,
    launcher: bool = False,
    template_of: Json | None = None,
) -> Json:
    """One replicated job of pods with whole nodes, and a launcher without GPUs if asked for."""
    job = {"parallelism": pods, "completions": pods, "backoffLimit": 0}
    worker = template_of or template()
    jobs = [{"name": "node", "replicas": 1, "template": {"spec": {**job, "template": worker}}}]
    if launcher:
        one = {"parallelism": 1, "completions": 1, "template": template(0)}
        jobs.insert(0, {"name": "launcher", "replicas": 1, "template": {"spec": one}})
    spec = {"suspend": suspend, "replicatedJobs": jobs}
    return _object("jobset.x-k8s.io/v1alpha2", "JobSet", name, spec, queue)


def leader_worker_set(name: str, *, groups: int, size: int) -> Json:
    spec = {
        "replicas": groups,
        "leaderWorkerTemplate": {
            "size": size,
            "workerTemplate": template(restartPolicy="Always"),
        },
    }
    return _object("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", name, spec)


def train_job(name: str, *, nodes: int = 4, suspend: bool = False, **spec: Any) -> Json:
    """Of the runtime `torch-distributed`, which Trainer ships."""
    trainer = {
        "numNodes": nodes,
        "numProcPerNode": 8,
        "image": "train",
        "resourcesPerNode": {"requests": {GPU: "8"}, "limits": {GPU: "8"}},
    }
    body = {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer, **spec}
    if suspend:
        body["suspend"] = True
    return _object("trainer.kubeflow.org/v1alpha1", "TrainJob", name, body)


def nemo_train_job(name: str) -> Json:
    """By the rules of NeMo-Run's KubeflowExecutor: 4 nodes of 8 GPUs, with a toleration."""
    tolerated = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
    overrides = [{"targetJobs": [{"name": "node"}], "spec": {"tolerations": [tolerated]}}]
    return train_job(name, podTemplateOverrides=overrides)


def nemo_pytorch_job(name: str, nodes: int = 4, queue: str | None = None) -> Json:
    """By the rules of NeMo-Run's KubeflowExecutor, which makes this kind by default."""
    made = template(restartPolicy="OnFailure")
    made["spec"]["containers"][0]["name"] = "pytorch"
    made["metadata"]["annotations"]["foresail.io/checkpoint-every"] = "30m"
    replicas = {"restartPolicy": "OnFailure", "template": made}
    spec = {
        "nprocPerNode": "8",
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, **replicas},
            "Worker": {"replicas": nodes - 1, **replicas},
        },
    }
    return _object("kubeflow.org/v1", "PyTorchJob", name, spec, queue)


def mpi_job(name: str, *, workers: int = 4) -> Json:
    replicas = {
        "Launcher": {"replicas": 1, "template": template(0)},
        "Worker": {"replicas": workers, "template": template()},
    }
    spec = {"slotsPerWorker": 8, "mpiReplicaSpecs": replicas}
    return _object("kubeflow.org/v1", "MPIJob", name, spec)


def _ray(*, workers: int, autoscaling: bool) -> Json:
    group = {
        "groupName": "gpu",
        "replicas": workers,
        "minReplicas": workers,
        "maxReplicas": 2 * workers,
        "rayStartParams": {},
        "template": template(restartPolicy="Always"),
    }
    head = template(0, restartPolicy="Always")
    return {
        "enableInTreeAutoscaling": autoscaling,
        "headGroupSpec": {"rayStartParams": {}, "template": head},
        "workerGroupSpecs": [group],
    }


def ray_cluster(name: str, *, workers: int = 4, autoscaling: bool = False) -> Json:
    spec = _ray(workers=workers, autoscaling=autoscaling)
    return _object("ray.io/v1", "RayCluster", name, spec)


def ray_job(name: str, *, workers: int = 4, suspend: bool = False) -> Json:
    spec = {
        "entrypoint": "python tune.py",
        "suspend": suspend,
        "rayClusterSpec": _ray(workers=workers, autoscaling=False),
    }
    return _object("ray.io/v1", "RayJob", name, spec)


def queues(flavor: str, *, gpus: int, cpus: int = 1000) -> list[Json]:
    """A ResourceFlavor, and a ClusterQueue `cluster` of it with the LocalQueue `research`."""
    api = "kueue.x-k8s.io/v1beta2"
    quotas = [
        {"name": GPU, "nominalQuota": gpus},
        {"name": "cpu", "nominalQuota": cpus},
        {"name": "memory", "nominalQuota": "1Ti"},
    ]
    group = {
        "coveredResources": [one["name"] for one in quotas],
        "flavors": [{"name": flavor, "resources": quotas}],
    }
    return [
        {
            "apiVersion": api,
            "kind": "ResourceFlavor",
            "metadata": {"name": flavor},
            "spec": {"nodeLabels": {"flavor": flavor}},
        },
        {
            "apiVersion": api,
            "kind": "ClusterQueue",
            "metadata": {"name": "cluster"},
            "spec": {"namespaceSelector": {}, "resourceGroups": [group]},
        },
        {
            "apiVersion": api,
            "kind": "LocalQueue",
            "metadata": {"name": "research", "namespace": NAMESPACE},
            "spec": {"clusterQueue": "cluster"},
        },
    ]


def workload(
    job: Json,
    *,
    reserved: bool = False,
    admitted: bool = False,
    reason: str = "Pending",
    message: str = NO_QUOTA,
    checks: tuple[str, ...] = (),
    **conditions: str,
) -> Json:
    """Kueue's Workload of a JobSet, with the conditions that Kueue writes.

    Args:
        job: it is of.
        reserved: quota is.
        admitted: all checks have agreed too.
        reason: of a workload that waits.
        message: of the same, as Kueue 0.19 was seen to write it.
        checks: that have not agreed.
        conditions: more of them, by type, with their status.
    """
    replicated = job["spec"]["replicatedJobs"]
    quota = {
        "type": "QuotaReserved",
        "status": "True" if reserved or admitted else "False",
        "reason": "QuotaReserved" if reserved or admitted else reason,
        "message": message,
    }
    found = [quota, *({"type": kind, "status": value} for kind, value in conditions.items())]
    if admitted:
        found.append({"type": "Admitted", "status": "True"})
    status: Json = {"conditions": found}
    if reserved or admitted:
        given = {"name": "node", "flavors": {GPU: "h100"}, "count": 4}
        status["admission"] = {"clusterQueue": "cluster", "podSetAssignments": [given]}
    status["admissionChecks"] = [{"name": one, "state": "Pending"} for one in checks]
    name = job["metadata"]["name"]
    owner = {"kind": job["kind"], "name": name, "uid": "u", "controller": True}
    return {
        "metadata": {
            "name": f"jobset-{name}",
            "namespace": NAMESPACE,
            "uid": f"w-{name}",
            "ownerReferences": [owner],
        },
        "spec": {
            "queueName": "research",
            "podSets": [
                {
                    "name": one["name"],
                    "count": one["template"]["spec"]["parallelism"],
                    "template": one["template"]["spec"]["template"],
                }
                for one in replicated
            ],
        },
        "status": status,
    }
