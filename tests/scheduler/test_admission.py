"""What the webhook gives a pod, and what is then in the cluster."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.admission import CLAIM, Admission, Policy, admit
from scheduler.gpu_container import DeniedError
from tests.scheduler.reviews import (
    BOTH,
    DEVICE_PLUGIN,
    NEED,
    NVIDIA_ONLY,
    OWNER,
    POLICY,
    Json,
    KeptTemplates,
    admitted,
    answer,
    patch_of,
    patched,
    pod,
)
from tests.schemas.kubernetes import VERSIONS, unfit

PROXY: Json = {"name": "proxy", "image": "proxy"}


def asking(name: str, resource: str, gpus: int = 1) -> Json:
    return {"name": name, "resources": {"limits": {resource: str(gpus)}}}


# With claims.


async def test_a_pod_with_a_need_refers_to_a_template_that_is_there() -> None:
    templates = KeptTemplates()
    response = await answer(pod(), templates)
    assert (response["allowed"], response["patchType"]) == (True, "JSONPatch")
    made = patched(pod(), patch_of(response))
    ((name, template),) = templates.kept.items()
    assert made["spec"]["resourceClaims"] == [
        {"name": "foresail-gpus", "resourceClaimTemplateName": name.removeprefix("llm/")}
    ]
    assert made["spec"]["containers"][0]["resources"] == {"claims": [{"name": "foresail-gpus"}]}
    assert template["metadata"]["ownerReferences"] == [OWNER]
    for version in VERSIONS:
        assert unfit(template, "ResourceClaimTemplate", version) == []
        assert unfit(made["spec"]["resourceClaims"][0], "PodResourceClaim", version) == []
        assert (
            unfit(made["spec"]["containers"][0]["resources"], "ResourceRequirements", version) == []
        )


async def test_the_pod_says_what_it_was_given_and_in_which_order() -> None:
    made = await admitted(pod())
    said = made["metadata"]["annotations"][CLAIM]
    assert said.startswith("2 x h200-sxm 0.258, 2 x b200 0.266, 1 x b300 0.319, ")
    assert said.endswith("2 x gb200 ? $ per million tokens (list prices)")


async def test_equal_needs_of_one_owner_share_a_template() -> None:
    templates = KeptTemplates()
    other = pod()
    other["metadata"]["ownerReferences"] = [{**OWNER, "uid": "u-8", "controller": True}]
    alone = pod()
    del alone["metadata"]["ownerReferences"]
    for one in (pod(), pod(), other, alone, alone):
        await answer(one, templates)
    assert len(templates.kept) == 3
    assert sum("ownerReferences" in one["metadata"] for one in templates.kept.values()) == 2


async def test_a_dry_run_is_answered_alike_and_leaves_nothing() -> None:
    templates = KeptTemplates()
    dry = await answer(pod(), templates, dryRun=True)
    assert templates.kept == {}
    assert dry == await answer(pod(), templates)


@pytest.mark.parametrize("policy", [POLICY, DEVICE_PLUGIN], ids=["dra", "device-plugin"])
async def test_a_second_review_of_a_pod_changes_nothing(policy: Policy) -> None:
    once = await admitted(pod(), policy)
    once["spec"]["containers"].append({"name": "sidecar", "image": "proxy"})
    again = await answer(once, policy=policy)
    assert (again["allowed"], patch_of(again)) == (True, [])


async def test_what_the_pod_has_stays() -> None:
    document = pod(
        {**NEED, "foresail.io/container": "engine"},
        containers=[
            {"name": "proxy", "image": "proxy"},
            {
                "name": "engine",
                "image": "vllm",
                "resources": {"limits": {"memory": "64Gi"}, "claims": [{"name": "nic"}]},
            },
        ],
        resourceClaims=[{"name": "nic", "resourceClaimTemplateName": "nic"}],
    )
    made = await admitted(document)
    assert [one["name"] for one in made["spec"]["resourceClaims"]] == ["nic", "foresail-gpus"]
    assert made["spec"]["containers"][0] == document["spec"]["containers"][0]
    assert made["spec"]["containers"][1]["resources"] == {
        "limits": {"memory": "64Gi"},
        "claims": [{"name": "nic"}, {"name": "foresail-gpus"}],
    }


async def test_null_is_as_good_as_missing() -> None:
    document = pod(resourceClaims=None, affinity=None)
    document["spec"]["containers"][0]["resources"] = None
    made = await admitted(document)
    assert made["spec"]["containers"][0]["resources"] == {"claims": [{"name": "foresail-gpus"}]}


@pytest.mark.parametrize(
    ("document", "request_"),
    [
        pytest.param(pod({}), {}, id="no-need"),
        pytest.param(pod(), {"operation": "UPDATE"}, id="no-creation"),
        pytest.param(pod(), {"subResource": "ephemeralcontainers"}, id="subresource"),
        pytest.param(None, {"operation": "DELETE"}, id="deletion-without-object"),
        pytest.param(
            pod(), {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}, id="no-pod"
        ),
    ],
)
async def test_what_is_not_ours_passes_unchanged(document: object, request_: Json) -> None:
    assert await answer(document, **request_) == {"uid": "r-1", "allowed": True}


async def test_a_misspelt_size_states_no_need_and_is_a_warning() -> None:
    response = await answer(pod({"foresail.io/model-paramters": "70B"}))
    assert (response["allowed"], patch_of(response)) == (True, [])
    (warning,) = response["warnings"]
    assert warning == (
        "annotation foresail.io/model-paramters is unknown:"
        " did you mean foresail.io/model-parameters?"
    )


async def test_a_misspelt_annotation_is_a_warning() -> None:
    response = await answer(pod({**NEED, "foresail.io/bottlenek": "kv"}))
    assert response["warnings"] == [
        "annotation foresail.io/bottlenek is unknown: did you mean foresail.io/bottleneck?"
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            pod({**NEED, "foresail.io/precision": "int3"}),
            "foresail: annotation foresail.io/precision has the value 'int3':"
            " it takes fp16, bf16, fp8, fp4, int4, awq or gptq",
            id="value",
        ),
        pytest.param(
            pod({**NEED, "foresail.io/price-source": "gcp"}),
            "foresail: 'gcp' is no source of prices; there is list, aws",
            id="price-source",
        ),
        pytest.param(
            pod({**NEED, "foresail.io/container": "main"}),
            "foresail: annotation foresail.io/container has the value 'main': it takes one of"
            " engine",
            id="container",
        ),
        pytest.param(pod(containers=[]), "foresail: the pod has no containers", id="no-container"),
        pytest.param(
            pod(containers=[{"name": "e", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]),
            "foresail: container 'e' asks for nvidia.com/gpu beside its need, which is met by a"
            " claim: drop one of the two",
            id="asked-twice",
        ),
        pytest.param(
            pod(containers=[PROXY, asking("vllm", "nvidia.com/gpu")]),
            "foresail: container 'vllm' asks for nvidia.com/gpu beside its need, which is met by a"
            " claim: drop one of the two, or name another container in the annotation"
            " foresail.io/container",
            id="asked-twice-beside-a-proxy",
        ),
        pytest.param(
            pod(containers=[asking("a", "nvidia.com/gpu"), asking("b", "nvidia.com/gpu")]),
            "foresail: containers a, b ask for GPUs: name the one that the need is of in the"
            " annotation foresail.io/container",
            id="several-ask",
        ),
        pytest.param(
            pod(containers=[{"name": "e", "resources": {"limits": {"nvidia.com/gpu": "-1"}}}]),
            "foresail: nvidia.com/gpu is '-1', not a number up to 32",
            id="negative",
        ),
        pytest.param(
            pod(containers="x"), "foresail: containers is not a list of objects", id="list"
        ),
    ],
)
async def test_what_cannot_be_given_is_denied_in_words(document: Json, message: str) -> None:
    templates = KeptTemplates()
    response = await answer(document, templates)
    assert response["allowed"] is False
    assert response["status"] == {"code": 422, "message": message}
    assert templates.kept == {}


async def test_a_need_that_nothing_serves_is_denied_with_the_reasons() -> None:
    response = await answer(pod({**NEED, "foresail.io/gpu-models": "t4|a10"}))
    message = response["status"]["message"]
    assert message.splitlines()[1:] == ["  a10, t4: no fp8 arithmetic: choose another precision"]
    assert len(message) <= 4096


async def test_a_class_that_the_cluster_does_not_have_is_not_offered() -> None:
    """kube-scheduler gives up a pod if the class of any alternative is missing."""
    both = {**NEED, "foresail.io/gpu-models": "h200-sxm|mi300x"}
    for classes, vendors in ((BOTH, {"h200-sxm", "mi300x"}), (NVIDIA_ONLY, {"h200-sxm"})):
        templates = KeptTemplates()
        response = await answer(pod(both), templates, classes=classes)
        assert response["allowed"], response
        (template,) = templates.kept.values()
        (request,) = template["spec"]["spec"]["devices"]["requests"]
        names = {one["name"].removesuffix("-x1") for one in request["firstAvailable"]}
        assert names == vendors


async def test_amd_gpus_are_offered_by_request_only() -> None:
    for annotations, expected in (
        (NEED, {"gpu.nvidia.com"}),
        ({**NEED, "foresail.io/gpu-vendors": "amd"}, {"gpu.amd.com"}),
    ):
        templates = KeptTemplates()
        await answer(pod(annotations), templates)
        (template,) = templates.kept.values()
        (request,) = template["spec"]["spec"]["devices"]["requests"]
        assert {one["deviceClassName"] for one in request["firstAvailable"]} == expected


async def test_a_cluster_without_the_class_denies_and_names_it() -> None:
    response = await answer(pod(), classes=frozenset())
    assert response["allowed"] is False
    assert "the cluster has no DeviceClass gpu.nvidia.com" in response["status"]["message"]


async def test_before_the_classes_are_known_a_claim_waits() -> None:
    response = await answer(pod(), classes=None)
    assert response["status"] == {
        "code": 503,
        "message": "foresail: the cluster's DeviceClasses are not read yet; the pod is made again",
    }
    assert (await answer(pod(), policy=DEVICE_PLUGIN, classes=None))["allowed"]
    assert (await answer(pod({}), classes=None))["allowed"]


async def test_kubernetes_own_namespaces_get_no_claims() -> None:
    """Posts that no API server sent once made 300 templates in kube-system."""
    templates = KeptTemplates()
    response = await answer(pod(), templates, namespace="kube-system")
    assert response["status"] == {
        "code": 422,
        "message": "foresail: namespace kube-system is Kubernetes' own, and gets no claims: make"
        " the pod in another namespace",
    }
    assert templates.kept == {}
    # Its own pods, which state no need, are none of our business.
    assert (await answer(pod({}), namespace="kube-system"))["allowed"]


async def test_a_pod_is_not_let_in_without_its_template() -> None:
    templates = KeptTemplates()
    templates.refuses = "403: forbidden"
    response = await answer(pod(), templates)
    assert response["allowed"] is False
    assert response["status"] == {
        "code": 503,
        "message": "foresail: the claim template could not be applied (403: forbidden);"
        " the pod is made again",
    }


# With device plugins.


async def test_device_plugins_get_affinity_and_a_number() -> None:
    made = await admitted(pod({**NEED, "foresail.io/tensor-parallel": "2"}), DEVICE_PLUGIN)
    (container,) = made["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert "resourceClaims" not in made["spec"]
    node = made["spec"]["affinity"]["nodeAffinity"]
    terms = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    by_label = {term["matchExpressions"][0]["key"]: term["matchExpressions"] for term in terms}
    product, memory = by_label["nvidia.com/gpu.product"]
    assert "NVIDIA-H100-80GB-HBM3" in product["values"]
    assert "Tesla-T4" not in product["values"]
    # 76.4 GiB over two, a tenth free: 43,488 MiB each.
    assert memory == {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["43487"]}
    assert by_label["cloud.google.com/gke-accelerator"][0]["values"]
    for version in VERSIONS:
        assert unfit(made["spec"]["affinity"], "Affinity", version) == []
        assert unfit(container["resources"], "ResourceRequirements", version) == []


async def test_the_cheaper_generation_weighs_more() -> None:
    made = await admitted(pod(), DEVICE_PLUGIN)
    preferred = made["spec"]["affinity"]["nodeAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    told = {
        one["preference"]["matchExpressions"][0]["values"][0]: one["weight"] for one in preferred
    }
    assert list(told.items())[:2] == [("NVIDIA-H200", 100), ("NVIDIA-B200", 90)]
    assert all(1 <= weight <= 100 for weight in told.values())


@pytest.mark.parametrize(
    "annotations",
    [NEED, {**NEED, "kubectl.kubernetes.io/default-container": "proxy"}],
    ids=["first", "default"],
)
async def test_the_only_container_that_asks_for_gpus_gets_them_and_its_number_is_the_width(
    annotations: Json,
) -> None:
    containers = [PROXY, asking("vllm", "nvidia.com/gpu", 4)]
    made = await admitted(pod(annotations, containers=containers), DEVICE_PLUGIN)
    proxy, engine = made["spec"]["containers"]
    assert proxy == PROXY
    assert engine["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert made["metadata"]["annotations"][CLAIM].startswith("4 x ")


async def test_the_resource_that_a_container_asks_for_is_its_vendor() -> None:
    containers = [asking("vllm", "amd.com/gpu", 2)]
    made = await admitted(pod(containers=containers), DEVICE_PLUGIN)
    limits = made["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"amd.com/gpu": "2"}
    node = made["spec"]["affinity"]["nodeAffinity"]
    terms = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][0]["key"] for term in terms] == ["amd.com/gpu.product-name"]


async def test_a_container_that_is_named_is_not_the_only_one_that_may_ask() -> None:
    containers = [asking("vllm", "nvidia.com/gpu", 2), asking("embedder", "nvidia.com/gpu")]
    annotations = {**NEED, "foresail.io/container": "vllm"}
    made = await admitted(pod(annotations, containers=containers), DEVICE_PLUGIN)
    assert made["spec"]["containers"][1] == containers[1]
    assert made["metadata"]["annotations"][CLAIM].startswith("2 x ")


@pytest.mark.parametrize(
    ("annotations", "containers", "message"),
    [
        pytest.param(
            {"foresail.io/gpu-vendors": "nvidia"},
            [asking("vllm", "amd.com/gpu")],
            "the pod asks for amd.com/gpu, and the annotation foresail.io/gpu-vendors does not name"
            " amd: drop one of the two",
            id="other-vendor",
        ),
        pytest.param(
            {"foresail.io/container": "vllm"},
            [asking("vllm", "nvidia.com/gpu"), asking("other", "amd.com/gpu")],
            "the pod's containers ask for amd.com/gpu and nvidia.com/gpu, which no node has"
            " together: ask for one of them",
            id="two-vendors",
        ),
        pytest.param(
            {},
            [asking("vllm", "gpu.intel.com/xe")],
            "a need is met by nvidia.com/gpu or amd.com/gpu, and the pod asks for gpu.intel.com/xe:"
            " drop one of the two",
            id="no-vendor-of-ours",
        ),
        pytest.param(
            {},
            [asking("vllm", "nvidia.com/gpu", 3)],
            "container 'vllm' asks for 3 GPUs: GPUs share the attention heads evenly, and 3 divides"
            " few models' heads\n"
            "it takes 2 or 4, or another divisor of the heads where annotation"
            " foresail.io/attention-heads tells them",
            id="width",
        ),
    ],
)
async def test_what_device_plugins_cannot_give_is_denied_in_words(
    annotations: Json, containers: list[Json], message: str
) -> None:
    document = pod({**NEED, **annotations}, containers=containers)
    response = await answer(document, policy=DEVICE_PLUGIN)
    assert response["status"] == {"code": 422, "message": f"foresail: {message}"}


async def test_a_pods_own_affinity_must_be_met_as_well() -> None:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    own = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms},
        "podAffinity": {},
    }
    made = await admitted(pod(affinity=own), DEVICE_PLUGIN)
    affinity = made["spec"]["affinity"]
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert all(term["matchExpressions"][0] == zone for term in required["nodeSelectorTerms"])
    assert all(len(term["matchExpressions"]) > 1 for term in required["nodeSelectorTerms"])
    assert affinity["podAffinity"] == {}


async def test_a_pod_with_a_copied_annotation_and_an_affinity_of_its_own_is_new() -> None:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    document = pod(
        {**NEED, CLAIM: "2 x h200-sxm 0.258"},
        containers=[asking("vllm", "nvidia.com/gpu", 2)],
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
    )
    made = await admitted(document, DEVICE_PLUGIN)
    node = made["spec"]["affinity"]["nodeAffinity"]
    required = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert all(len(term["matchExpressions"]) > 1 for term in required)
    again = await answer(made, policy=DEVICE_PLUGIN)
    assert (again["allowed"], patch_of(again)) == (True, [])


async def test_an_affinity_that_nobody_writes_is_refused() -> None:
    terms = {"nodeSelectorTerms": [{"matchFields": []}] * 5000}
    own = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    response = await answer(pod(affinity=own), policy=DEVICE_PLUGIN)
    assert response["status"]["message"] == (
        "foresail: 5000 nodeSelectorTerms times 3 are too many"
    )


# Pods that nobody sends.


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["metadata", "spec", "annotations", "affinity", "containers", "resources"]),
    _JSON,
    st.sampled_from([POLICY, DEVICE_PLUGIN]),
)
def test_any_pod_is_admitted_or_denied(part: str, value: object, policy: Policy) -> None:
    document = pod()
    container = document["spec"]["containers"][0]
    places = {
        "metadata": document, "spec": document, "annotations": document["metadata"],
        "affinity": document["spec"], "containers": document["spec"], "resources": container,
    }  # fmt: skip
    places[part][part] = value
    try:
        found = admit(document, "llm", policy, BOTH)
    except DeniedError as error:
        found = error  # type: ignore[assignment]
    assert isinstance(found, Admission | DeniedError)
