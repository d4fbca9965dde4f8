"""Access to Amazon Managed Service for Prometheus: each request is signed with the keys of now.

The keys come from a file, else from where AWS's own clients look: the environment, the role of the
pod's service account (IRSA, by AWS STS), the agent of EKS Pod Identity on the node.
"""

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from fleet.documents import Json, part, text
from scaler.clock import Clock
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.sources.access import secret
from scaler.sources.credential_server import Ask
from scaler.sources.sigv4 import AwsKeys, Request, signed_headers, with_plain_query

_NAMES: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
"""In the file; in the environment in capitals."""
_ROLE: Final = "AWS_ROLE_ARN"
_ROLE_FILE: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
_ACTION: Final = "AssumeRoleWithWebIdentity"
_STS: Final = "AWS_ENDPOINT_URL_STS"
_AGENT: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_AGENT_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_AGENT_HOSTS: Final = frozenset({"169.254.170.23", "fd00:ec2::23", "127.0.0.1", "::1"})
"""Of EKS Pod Identity, and this machine: it gets a token that is worth credentials."""
_KEPT_SECONDS: Final = 600.0
"""Sessions of roles last a quarter of an hour or more; agents give keys anew well before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigV4:
    """Amazon's signature, and where the keys are."""

    region: str
    clock: Clock
    credentials_file: Path | None = None
    """In the format of `~/.aws/credentials`; None = from the environment."""
    profile: str = "default"
    service: str = "aps"


class AwsAuth(AuthBase):
    """Signs each request with the keys of now."""

    def __init__(self, sigv4: SigV4, ask: Ask) -> None:
        self._sigv4 = sigv4
        self._ask = ask
        self._kept: tuple[float, AwsKeys] | None = None

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = with_plain_query(str(request.url))
        body = request.body or b""
        signed = signed_headers(
            Request(
                method=str(request.method),
                url=url,
                body=body.encode() if isinstance(body, str) else body,
            ),
            self._keys(),
            region=self._sigv4.region,
            service=self._sigv4.service,
            now_seconds=self._sigv4.clock(),
        )
        request.url = url
        request.headers.update(signed)
        return request

    def _keys(self) -> AwsKeys:
        sigv4 = self._sigv4
        if sigv4.credentials_file is not None:
            return keys_in(sigv4.credentials_file, sigv4.profile)
        found = _keys_of({name.lower(): value for name, value in os.environ.items()})
        if found is not None:
            return found
        now = sigv4.clock()
        if self._kept is None or now >= self._kept[0]:
            self._kept = (now + _KEPT_SECONDS, self._given())
        return self._kept[1]

    def _given(self) -> AwsKeys:
        """Keys for this pod."""
        if _ROLE in os.environ and _ROLE_FILE in os.environ:
            return self._of_role(os.environ[_ROLE], Path(os.environ[_ROLE_FILE]))
        if _AGENT in os.environ:
            return self._of_agent(os.environ[_AGENT], os.environ.get(_AGENT_FILE))
        raise SourceMisconfiguredError(
            "sigv4: no credentials: give credentialsFile, the variables AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or the pod a role, which sets {_ROLE} (IRSA) or {_AGENT} "
            "(EKS Pod Identity)"
        )

    def _of_role(self, role: str, file: Path) -> AwsKeys:
        region = self._sigv4.region
        of_china = ".cn" if region.startswith("cn-") else ""
        address = os.environ.get(_STS, f"https://sts.{region}.amazonaws.com{of_china}")
        form = {
            "Action": _ACTION,
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "foresail",
            "WebIdentityToken": secret(file),
        }
        answer = self._ask(f"{address}/", {}, form)
        given = part(answer, f"{_ACTION}Response", f"{_ACTION}Result", "Credentials")
        return _given_keys(address, given, "SessionToken")

    def _of_agent(self, address: str, token_file: str | None) -> AwsKeys:
        if urlsplit(address).hostname not in _AGENT_HOSTS:
            raise SourceMisconfiguredError(
                f"{_AGENT} {address!r}: not the address of an agent on this node"
            )
        headers = {"Authorization": secret(Path(token_file))} if token_file else {}
        return _given_keys(address, self._ask(address, headers), "Token")


def _given_keys(address: str, answer: Json, token: str) -> AwsKeys:
    access_key, secret_key = text(answer, "AccessKeyId"), text(answer, "SecretAccessKey")
    if access_key is None or secret_key is None:
        raise SourceUnavailableError(f"{address}: an answer without credentials")
    return AwsKeys(access_key=access_key, secret_key=secret_key, session_token=text(answer, token))


def keys_in(file: Path, profile: str) -> AwsKeys:
    """The keys of a profile in a file.

    Raises:
        SourceMisconfiguredError: it cannot be read, or has no such profile with keys.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(secret(file))
    except (configparser.Error, ValueError):
        # Its message would quote the line, which may be a secret.
        raise SourceMisconfiguredError(
            f"secret file {file}: not in the format of ~/.aws/credentials"
        ) from None
    found = _keys_of(parser[profile]) if parser.has_section(profile) else None
    if found is None:
        raise SourceMisconfiguredError(
            f"secret file {file}: no profile [{profile}] with {_NAMES[0]} and {_NAMES[1]}"
        )
    return found


def _keys_of(values: Mapping[str, str]) -> AwsKeys | None:
    access_key, secret_key, token = (values.get(name) for name in _NAMES)
    if not access_key or not secret_key:
        return None
    return AwsKeys(access_key=access_key, secret_key=secret_key, session_token=token or None)
