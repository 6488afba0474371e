"""What is generated: ARM templates that Azure's own models know, and host.json."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.mgmt.storage import models as storage_models
from azure.mgmt.web import models as web_models

import ostinato as ost
from ostinato_azure import records
from ostinato_azure.claims import app_claims
from ostinato_azure.packaging import arm
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.events import BlobFunction, blob_functions, events_template
from ostinato_azure.packaging.host_json import common_version, host_json, hub_name
from ostinato_azure.packaging.infrastructure import (
    check_name,
    main_parameters,
    main_template,
    name_prefix,
)
from ostinato_azure.packaging.settings import Settings, read_settings
from ostinato_azure.packaging.synth import EVENTS, MAIN, PARAMETERS, differing, synthesize
from ostinato_azure.packaging.synth import write as write_files
from ostinato_azure.packaging.telemetry import ACTION_GROUP
from tests.azure.arm_evaluator import deployed, identify
from tests.azure.projects import SHOP, ostinato, write

ROOT = Path(__file__).parents[2]


def shop(*triggers: ost.Trigger, name: str = "Corner Shop") -> ost.App:
    app = ost.App(name)

    @app.orchestration(triggers=triggers)
    def order(ctx):
        yield ctx.create_timer(ctx.current_utc_datetime)

    return app


def host(app: ost.App, **settings: Any) -> Any:
    return json.loads(host_json(app, Settings(**settings)))


def resources(app: ost.App, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = deployed(main_template(app), given)["resources"]
    return found


def only(found: dict[str, Any], kind: str) -> Any:
    (resource,) = [r for r in found.values() if r["type"] == kind]
    return resource


# --- the repository ---


def test_what_is_committed_is_what_is_generated():
    result = ostinato(ROOT, "synth", "azure", "--check")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_committed_parameters_are_those_of_the_template():
    template = json.loads((ROOT / MAIN).read_text())
    values = json.loads((ROOT / PARAMETERS).read_text())["parameters"]
    assert deployed(template, {name: each["value"] for name, each in values.items()})


# --- the template ---

MODELS: dict[str, Any] = {
    "Microsoft.Storage/storageAccounts": storage_models.StorageAccountCreateParameters,
    "Microsoft.Storage/storageAccounts/blobServices/containers": storage_models.BlobContainer,
    "Microsoft.Storage/storageAccounts/queueServices/queues": storage_models.StorageQueue,
    "Microsoft.Storage/storageAccounts/managementPolicies": storage_models.ManagementPolicy,
    "Microsoft.Web/serverfarms": web_models.AppServicePlan,
    "Microsoft.Web/sites": web_models.Site,
    "Microsoft.Web/sites/config": web_models.StringDictionary,
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        web_models.CsmPublishingCredentialsPoliciesEntity
    ),
}
WITHOUT_MODEL = {
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Insights/components",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.OperationalInsights/workspaces",
}
OF_TEMPLATES = ("type", "apiVersion", "name", "dependsOn", "scope")


def check_model(model: Any, where: str) -> None:
    """Every key is the model's, every value of an enumeration is one of its members."""
    fields = {field._rest_name: name for name, field in type(model)._attr_to_rest_field.items()}
    unknown = set(model) - set(fields)
    assert not unknown, f"{where} has {unknown}"
    for key in model:
        value = getattr(model, fields[key])
        annotation = next(
            cls.__annotations__[fields[key]]
            for cls in type(model).__mro__
            if fields[key] in inspect.get_annotations(cls)
        )
        for each in value if isinstance(value, list) else [value]:
            if hasattr(each, "_attr_to_rest_field"):
                check_model(each, f"{where}.{key}")
        if takes_enum(annotation, type(model)):
            assert isinstance(value, Enum), f"{where}.{key} is {value!r}"


def takes_enum(annotation: Any, model: type) -> bool:
    module = storage_models if "storage" in model.__module__ else web_models
    names = re.findall(r"_models\.(\w+)", str(annotation))
    kinds = [getattr(module, name) for name in names]
    return any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds)


TRIGGERS: list[ost.Trigger] = [
    ost.Queue("orders"),
    ost.Queue("returns"),
    ost.Blob("incoming/{user}/{name}.csv"),
    ost.Blob("incoming/{name}"),
    ost.Http("orders"),
    ost.Schedule("0 * * * *"),
]


def test_azures_own_models_know_every_key_and_value():
    app = shop(*TRIGGERS)
    given = {
        "alwaysReady": [{"name": "durable", "instanceCount": 1}],
        "instanceMemoryMB": 512,
        "siteUpdateStrategy": "RollingUpdate",
        "storagePublicAccess": "Disabled",
        "subnetId": "/networks/n/subnets/apps",
        "tags": {"team": "data"},
    }
    for id, resource in resources(app, **given).items():
        if resource["type"] in WITHOUT_MODEL:
            continue
        model = MODELS[resource["type"]]
        body = {key: value for key, value in resource.items() if key not in OF_TEMPLATES}
        check_model(model(body), id)


def test_the_check_by_models_sees_what_they_do_not_know():
    site: dict[str, Any] = {"location": "here", "properties": {"httpsOnly": True}}
    check_model(web_models.Site(site), "site")
    with pytest.raises(AssertionError, match="httpOnly"):
        check_model(web_models.Site({"properties": {"httpOnly": True}}), "site")
    kind = {"functionAppConfig": {"deployment": {"storage": {"type": "blobContainers"}}}}
    with pytest.raises(AssertionError, match="blobContainers"):
        check_model(web_models.Site({"properties": kind}), "site")


def test_what_a_resource_depends_on_is_in_the_template():
    found = resources(shop(*TRIGGERS))
    for resource in found.values():
        assert set(resource.get("dependsOn", ())) <= found.keys()


def test_what_a_resource_refers_to_comes_before_it():
    template = main_template(shop(*TRIGGERS))
    found = resources(shop(*TRIGGERS), **{ACTION_GROUP: "/groups/on-call"})  # so all are there
    references = 0
    for raw, id in zip(template["resources"], found, strict=True):
        for other, resource in found.items():
            if f"reference({expression_of(resource['type'])}" in json.dumps(raw):
                references += 1
                assert other in closure(found, id)
    assert references >= 6


def expression_of(kind: str) -> str:
    """The expression by which our templates speak of a resource."""
    name = "variables('storageName')" if "Storage" in kind else "parameters('name')"
    return f"resourceId('{kind}', {name})"


def closure(found: dict[str, Any], id: str) -> set[str]:
    direct = set(found[id].get("dependsOn", ()))
    return direct.union(*(closure(found, each) for each in direct))


def test_the_identity_has_the_least_roles_each_on_one_resource():
    found = resources(shop())
    roles = [r for r in found.values() if r["type"] == "Microsoft.Authorization/roleAssignments"]
    # Ids as in Microsoft's list of Azure built-in roles.
    expected = {
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Microsoft.Storage/storageAccounts",
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Microsoft.Storage/storageAccounts",
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Microsoft.Storage/storageAccounts",
        "3913510d-42f4-4e42-8a64-420c390055eb": "Microsoft.Insights/components",
    }
    given = {
        role["properties"]["roleDefinitionId"].rsplit("/", 1)[1]: role["scope"].rsplit("/", 1)[0]
        for role in roles
    }
    assert given == expected
    assert len({role["name"] for role in roles}) == 4
    for role in roles:
        assert identify(*split_scope(role["scope"])) in found
        assert role["properties"]["principalId"] == "1111"


def split_scope(scope: str) -> tuple[str, str]:
    kind, _, name = scope.rpartition("/")
    return kind, name


def test_nothing_takes_keys_or_passwords_or_plain_http():
    found = resources(shop())
    account = only(found, "Microsoft.Storage/storageAccounts")["properties"]
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["minimumTlsVersion"] == "TLS1_2"
    assert only(found, "Microsoft.Insights/components")["properties"]["DisableLocalAuth"] is True
    assert only(found, "Microsoft.Web/sites")["properties"]["httpsOnly"] is True
    settings = only(found, "Microsoft.Web/sites/config")["properties"]
    assert "AzureWebJobsStorage" not in settings
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    policies = [r for r in found.values() if r["type"].endswith("CredentialsPolicies")]
    assert [p["properties"]["allow"] for p in policies] == [False, False]


def test_the_settings_of_the_template_and_those_given_are_all_there():
    found = resources(shop(), appSettings={"WEBHOOK_KEY": "s3cret"})
    settings = only(found, "Microsoft.Web/sites/config")["properties"]
    account = only(found, "Microsoft.Storage/storageAccounts")
    assert settings["WEBHOOK_KEY"] == "s3cret"
    assert settings["AzureWebJobsStorage__accountName"] == account["name"]


def test_large_payloads_are_claimed_in_a_container_of_the_account_unless_told_otherwise():
    found = resources(shop())
    settings = only(found, "Microsoft.Web/sites/config")["properties"]
    claims = app_claims(settings | {"AzureWebJobsStorage": "https://a.blob.core.windows.net"})
    assert claims is not None and claims.threshold == 256 * 1024
    container = settings["OSTINATO_CLAIM_CONTAINER"]
    assert any(r["name"].endswith(f"/default/{container}") for r in found.values())
    off = resources(shop(), appSettings={"OSTINATO_CLAIM_CONTAINER": ""})
    assert app_claims(only(off, "Microsoft.Web/sites/config")["properties"]) is None


def test_queues_and_containers_of_the_triggers_are_made_once_each():
    names = {
        r["name"].split("/", 1)[1] for r in resources(shop(*TRIGGERS)).values() if "/" in r["name"]
    }
    assert {"default/orders", "default/returns", "default/incoming"} <= names


def test_records_of_events_are_kept_for_days_that_can_be_chosen_and_schedules_for_ever():
    for given, days in (({}, 90), ({"triggerRecordDays": 7}, 7)):
        found = resources(shop(*TRIGGERS), **given)
        policy = only(found, "Microsoft.Storage/storageAccounts/managementPolicies")
        assert policy["name"].endswith("/default")  # the only name that Azure takes
        rule, _ = policy["properties"]["policy"]["rules"]
        assert rule["enabled"] is True
        assert rule["definition"]["filters"]["prefixMatch"] == [
            f"{records.CONTAINER}/{records.EVENTS}/"
        ]
        deleted = rule["definition"]["actions"]["baseBlob"]["delete"]
        assert deleted == {"daysAfterModificationGreaterThan": days}
        assert any(id.endswith(f"/default/containers/{records.CONTAINER}") for id in found)


def test_large_payloads_are_kept_unless_their_days_are_given():
    for given, days in (({}, 0), ({"claimDays": 400}, 400)):
        found = resources(shop(), **given)
        policy = only(found, "Microsoft.Storage/storageAccounts/managementPolicies")
        _, rule = policy["properties"]["policy"]["rules"]
        assert rule["enabled"] is (days > 0)
        settings = only(found, "Microsoft.Web/sites/config")["properties"]
        container = settings["OSTINATO_CLAIM_CONTAINER"]
        assert rule["definition"]["filters"]["prefixMatch"] == [f"{container}/"]
        assert rule["definition"]["actions"]["baseBlob"]["delete"] == {
            "daysAfterModificationGreaterThan": days
        }


def test_redundancy_and_the_days_of_logs_can_be_chosen():
    for given, sku, days in (
        ({}, "Standard_LRS", 90),
        ({"storageRedundancy": "Standard_ZRS", "logRetentionDays": 365}, "Standard_ZRS", 365),
    ):
        found = resources(shop(), **given)
        assert only(found, "Microsoft.Storage/storageAccounts")["sku"] == {"name": sku}
        workspace = only(found, "Microsoft.OperationalInsights/workspaces")["properties"]
        assert workspace["retentionInDays"] == days


WORKSPACE = "Microsoft.OperationalInsights/workspaces"
COMPONENT = "Microsoft.Insights/components"
RULE = "Microsoft.Insights/scheduledQueryRules"


def test_logs_go_to_a_workspace_that_is_there_already_if_one_is_named():
    own = resources(shop())
    assert only(own, COMPONENT)["properties"]["WorkspaceResourceId"] in own
    found = resources(shop(), workspaceId="/central")
    assert not any(r["type"] == WORKSPACE for r in found.values())
    assert only(found, COMPONENT)["properties"]["WorkspaceResourceId"] == "/central"


def test_an_action_group_is_told_of_failed_instances_and_of_poisoned_messages():
    assert not any(r["type"] == RULE for r in resources(shop()).values())
    central = resources(shop(), actionGroupId="/groups/on-call", workspaceId="/central")
    assert {tuple(r["properties"]["scopes"]) for r in central.values() if r["type"] == RULE} == {
        ("/central",)
    }
    found = resources(shop(), actionGroupId="/groups/on-call")
    rules = {r["name"]: r["properties"] for r in found.values() if r["type"] == RULE}
    assert sorted(name.split("-", 3)[-1] for name in rules) == [
        "failed-instances",
        "poisoned-messages",
    ]
    for rule in rules.values():
        assert rule["scopes"] == [i for i, r in found.items() if r["type"] == WORKSPACE]
        (condition,) = rule["criteria"]["allOf"]
        (component,) = (i for i, r in found.items() if r["type"] == COMPONENT)
        assert f"_ResourceId =~ '{component}'" in condition["query"]
        assert rule["actions"] == {"actionGroups": ["/groups/on-call"]}


def test_every_resource_that_can_have_tags_has_those_given():
    found = resources(shop(*TRIGGERS), actionGroupId="/groups/on-call", tags={"team": "data"})
    tagged = {r["type"] for r in found.values() if r.get("tags") == {"team": "data"}}
    assert tagged == {r["type"] for r in found.values() if "location" in r}
    assert len(tagged) == 6


def test_the_app_calls_from_a_subnet_only_if_one_is_given():
    for given, subnet in (({}, None), ({"subnetId": "/subnets/apps"}, "/subnets/apps")):
        site = only(resources(shop(), **given), "Microsoft.Web/sites")["properties"]
        assert site["virtualNetworkSubnetId"] == subnet


def test_an_instance_takes_several_requests_at_a_time():
    site = only(resources(shop()), "Microsoft.Web/sites")["properties"]
    scale = site["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": 16}}


def test_what_writes_to_the_site_does_so_one_after_another():
    found = resources(shop())
    writers = [i for i, r in found.items() if r["type"].startswith("Microsoft.Web/sites/")]
    assert len(writers) == 3
    for before, after in itertools.pairwise(writers):
        assert before in closure(found, after)


@pytest.mark.parametrize("name", ["x", "pipelines", "A very, very long name of an app", "42", "ÄÖ"])
def test_names_keep_azures_limits(name: str):
    found = resources(shop(*TRIGGERS, name=name))
    account = only(found, "Microsoft.Storage/storageAccounts")["name"]
    assert re.fullmatch(r"[a-z0-9]{3,24}", account)
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,59}", only(found, "Microsoft.Web/sites")["name"])
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,44}", hub_name(shop(name=name)))
    assert 2 <= len(name_prefix(shop(name=name))) <= 20


# Microsoft's naming rules and restrictions for Azure resources: lengths from, to.
LENGTHS = {
    "Microsoft.Web/sites": (2, 60),
    "Microsoft.Web/serverfarms": (1, 60),
    "Microsoft.OperationalInsights/workspaces": (4, 63),
    "Microsoft.Insights/components": (1, 260),
    "Microsoft.EventGrid/systemTopics": (3, 50),
}


def test_every_name_that_the_template_takes_is_one_for_all_resources():
    events = events_template([BlobFunction(name="take", path="incoming/{name}")])
    assert events is not None
    for name in ("a-4c", "a" * 44):
        check_name(name)
        given = {"name": name, "storageName": "cornerstore"}
        found = [*resources(shop(), name=name).values()]
        found += deployed(events, given)["resources"].values()
        for resource in found:
            least, most = LENGTHS.get(resource["type"], (1, 999))
            assert least <= len(resource["name"]) <= most
    for name in ("abc", "a" * 45):
        with pytest.raises(AssertionError):
            resources(shop(), name=name)


@pytest.mark.parametrize("name", ["abc", "a" * 45, "-abcd", "abcd-", "corner_shop", "corner.shop"])
def test_names_that_azure_would_not_take_are_refused(name: str):
    with pytest.raises(PackagingError, match=f"--name {name}: .* 4 to 44 letters"):
        check_name(name)


def test_accounts_of_apps_with_long_names_in_one_group_differ():
    accounts = {
        only(
            resources(shop(), namePrefix="a-very-long-prefix-x", name=name),
            "Microsoft.Storage/storageAccounts",
        )["name"]
        for name in ("shop-one", "shop-two")
    }
    assert len(accounts) == 2


def test_the_outputs_tell_where_the_app_is_and_no_key():
    outputs = deployed(main_template(shop()), {"name": "corner"})["outputs"]
    assert outputs["hostName"]["value"] == "corner.azurewebsites.net"
    assert outputs["managementUrl"]["value"] == (
        "https://corner.azurewebsites.net/runtime/webhooks/durabletask"
    )
    assert "listKeys" not in arm.text(main_template(shop()))


def test_the_parameters_file_gives_values_that_the_template_takes():
    values = main_parameters(shop())["parameters"]
    given = {name: each["value"] for name, each in values.items()}
    assert resources(shop(), **given)


# --- blobs ---


def test_each_function_with_a_blob_trigger_gets_its_events():
    functions = [
        BlobFunction(name="ingest_blob", path="incoming/data/{name}.csv"),
        BlobFunction(name="audit_blob", path="incoming/{name}"),
    ]
    template = events_template(functions)
    assert template is not None
    found = deployed(template, {"name": "corner", "storageName": "cornerstore"})["resources"]
    topic = only(found, "Microsoft.EventGrid/systemTopics")
    assert topic["properties"]["source"].endswith("/storageAccounts/cornerstore")
    subscriptions = {
        resource["properties"]["destination"]["properties"]["endpointUrl"]: resource
        for resource in found.values()
        if resource is not topic
    }
    assert len(subscriptions) == 2
    url = (
        "https://corner.azurewebsites.net/runtime/webhooks/blobs"
        "?functionName=Host.Functions.ingest_blob&code=the-key%3D%3D"
    )
    subscription = subscriptions[url]
    assert subscription["properties"]["filter"]["subjectBeginsWith"] == (
        "/blobServices/default/containers/incoming/blobs/data/"
    )
    assert subscription["properties"]["filter"]["subjectEndsWith"] == ".csv"
    whole = subscriptions[url.replace("ingest_blob", "audit_blob")]["properties"]["filter"]
    assert "subjectEndsWith" not in whole
    assert set(subscription["dependsOn"]) <= found.keys()
    assert re.fullmatch(r"[A-Za-z0-9-]{3,64}", subscription["name"].split("/")[1])


def test_blob_functions_are_read_from_what_the_worker_indexes():
    app = func.FunctionApp()

    @app.blob_trigger(arg_name="blob", path="incoming/{name}", connection="AzureWebJobsStorage")
    def take(blob: func.InputStream) -> None: ...

    @app.queue_trigger(arg_name="message", queue_name="orders", connection="AzureWebJobsStorage")
    def order(message: func.QueueMessage) -> None: ...

    assert blob_functions(app) == [BlobFunction(name="take", path="incoming/{name}")]


def test_an_app_without_blob_triggers_has_no_template_for_events():
    assert events_template([]) is None
    assert synthesize(shop(), [], Settings())[EVENTS] is None


# --- host.json ---


def test_the_bundle_is_the_stable_one_unless_the_app_is_on_grpc():
    stable = "Microsoft.Azure.Functions.ExtensionBundle"
    assert host(shop())["extensionBundle"]["id"] == stable
    assert host(shop(), grpc=True)["extensionBundle"]["id"] == f"{stable}.Preview"


def test_a_default_version_is_set_where_all_orchestrations_have_one():
    app = ost.App("versions")

    @app.orchestration(name="a", version="1")
    def old(ctx):
        yield ctx.create_timer(ctx.current_utc_datetime)

    app.orchestration(name="a", version="2")(old_copy())
    app.orchestration(name="b", version="2")(old_copy())
    durable = host(app)["extensions"]["durableTask"]
    assert (durable["defaultVersion"], durable["versionMatchStrategy"]) == ("2", "None")

    app.orchestration(name="c")(old_copy())
    assert common_version(app) is None
    assert "defaultVersion" not in host(app)["extensions"]["durableTask"]


def old_copy() -> Any:
    def orchestrator(ctx):
        yield ctx.create_timer(ctx.current_utc_datetime)

    return orchestrator


def test_queue_settings_are_there_with_queues_only():
    assert "queues" not in host(shop())["extensions"]
    queues = host(shop(ost.Queue("orders")))["extensions"]["queues"]
    assert queues["messageEncoding"] == "none"


@pytest.mark.parametrize(
    ("timeout", "limit"),
    [(None, "00:30:00"), (60, "00:30:00"), (5400.5, "01:31:01"), (90000, "1.01:01:00")],
)
def test_the_host_gives_an_activity_more_time_than_its_own_timeout(
    timeout: float | None, limit: str
):
    app = shop()
    app.activity(name="slow", timeout=timeout)(lambda: None)
    assert host(app)["functionTimeout"] == limit


def test_the_projects_own_settings_are_laid_over(tmp_path: Path):
    write(
        tmp_path,
        {
            "pyproject.toml": "[tool.ostinato.azure.host.extensions.durableTask]\n"
            "maxConcurrentActivityFunctions = 3\n"
        },
    )
    durable = json.loads(host_json(shop(), read_settings(tmp_path)))["extensions"]["durableTask"]
    assert durable["maxConcurrentActivityFunctions"] == 3
    assert durable["hubName"] == "CornerShop"


def test_settings_with_which_the_host_would_not_start_are_refused():
    with pytest.raises(PackagingError) as caught:
        host(shop(), host={"extensions": {"durabletask": {"hubName": "other"}}})
    assert str(caught.value) == (
        "host.json, with [tool.ostinato.azure.host] of pyproject.toml in it:"
        " extensions.durableTask and extensions.durabletask are one key to the host: keep one"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.ostinato.azure]\ngrcp = true", "unknown field `grcp`"),
        ("[tool.ostinato.azure]\ngrpc = 'yes'", "Expected `bool`"),
        ("[tool", "is no TOML"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, text: str, said: str):
    write(tmp_path, {"pyproject.toml": text})
    with pytest.raises(PackagingError, match=re.escape(said)):
        read_settings(tmp_path)


# --- writing ---


def test_files_are_written_once_and_the_parameters_stay_their_owners(tmp_path: Path):
    files = synthesize(shop(), [BlobFunction(name="f", path="in/{n}")], Settings())
    assert write_files(files, tmp_path) == [*files]
    assert write_files(files, tmp_path) == []
    (tmp_path / PARAMETERS).write_text("{}")
    (tmp_path / MAIN).write_text("{}")
    assert write_files(files, tmp_path) == [MAIN]
    assert (tmp_path / PARAMETERS).read_text() == "{}"


def test_a_host_json_by_hand_is_replaced_only_by_force(tmp_path: Path):
    by_hand = '{"version": "2.0", "functionTimeout": "01:00:00"}'
    write(tmp_path, {"app.py": SHOP, "host.json": by_hand})
    refused = ostinato(tmp_path, "synth", "azure")
    assert refused.returncode == 2
    assert "host.json was not generated" in refused.stderr
    assert "[tool.ostinato.azure.host]" in refused.stderr
    assert "--force" in refused.stderr
    assert (tmp_path / "host.json").read_text() == by_hand
    assert not (tmp_path / MAIN).exists()
    forced = ostinato(tmp_path, "synth", "azure", "--force")
    assert forced.returncode == 0, forced.stderr
    assert (tmp_path / "host.json").read_text() != by_hand


def test_a_generated_host_json_follows_the_app_until_somebody_changes_it(tmp_path: Path):
    write_files(synthesize(shop(), [], Settings()), tmp_path)
    host = tmp_path / "host.json"
    host.write_bytes(host.read_bytes().replace(b"\n", b"\r\n"))  # as some systems check it out
    slow = shop()
    slow.activity(name="slow", timeout=7200)(lambda: None)
    assert set(write_files(synthesize(slow, [], Settings()), tmp_path)) == {"host.json", MAIN}
    host.write_text(host.read_text().replace("02:01:00", "03:00:00"))
    with pytest.raises(PackagingError, match=r"host\.json was not generated, or was changed"):
        write_files(synthesize(slow, [], Settings()), tmp_path)


def test_a_file_of_no_more_use_is_removed(tmp_path: Path):
    with_blobs = synthesize(shop(), [BlobFunction(name="f", path="in/{n}")], Settings())
    write_files(with_blobs, tmp_path)
    without = synthesize(shop(), [], Settings())
    assert differing(without, tmp_path) == [EVENTS]
    assert write_files(without, tmp_path) == [EVENTS]
    assert not (tmp_path / EVENTS).exists()


def test_check_tells_what_differs_and_writes_nothing(tmp_path: Path):
    write(tmp_path, {"app.py": SHOP})
    result = ostinato(tmp_path, "synth", "azure", "--check")
    assert result.returncode == 1
    assert "differs: host.json" in result.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app.py"]
    assert ostinato(tmp_path, "synth", "azure").returncode == 0
    assert ostinato(tmp_path, "synth", "azure", "--check").returncode == 0


def test_a_folder_without_an_application_is_a_usage_error(tmp_path: Path):
    result = ostinato(tmp_path, "synth", "azure")
    assert result.returncode == 2
    assert "found no application" in result.stderr
    assert "Traceback" not in result.stderr


def test_annotations_of_the_models_are_where_the_check_looks_for_them():
    assert takes_enum(web_models.Site.__annotations__["identity"], web_models.Site) is False
    hint = storage_models.StorageAccountCreateParameters.__annotations__["kind"]
    assert takes_enum(hint, storage_models.StorageAccountCreateParameters), typing.get_args(hint)


def test_the_docs_template_of_ones_own_takes_outputs_of_ours_and_names_a_role():
    page = (ROOT / "docs" / "azure-deploy.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    template = json.loads(text) | {"outputs": {}}
    outputs = main_template(shop())["outputs"]
    assert template["parameters"].keys() & outputs.keys() == {"principalId"}
    given = {"principalId": "1111", "vault": "secrets"}
    (assignment,) = deployed(template, given)["resources"].values()
    assert assignment["scope"] == "Microsoft.KeyVault/vaults/secrets"
    # Key Vault Secrets User, in Microsoft's list of Azure built-in roles.
    assert "4633458b-17de-408a-b874-0445c86b69e6" in assignment["properties"]["roleDefinitionId"]
