"""Goes through a sign-in with Authlib, and prints what it saw as JSON.

Arguments: Doorward's URL, a person, a service that may introspect, the password of both.
"""

import json
import sys

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

base, name, service, password = sys.argv[1:]

# Find the endpoints, and sign in.
session = OAuth2Session(client_id="my-app", scope="orders:read orders:write")
metadata = f"{base}/.well-known/oauth-authorization-server"
found = session.get(metadata, withhold_token=True).json()
signed_in = session.fetch_token(f"{base}/auth/login", username=name, password=password)

# Verify the token by the published keys, as a back end may.
keys = KeySet.import_key_set(session.get(found["jwks_uri"]).json())
algorithms = ["RS256", "PS256", "ES256", "EdDSA"]
verified = jwt.decode(signed_in["access_token"], keys, algorithms=algorithms)
jwt.JWTClaimsRegistry(iss={"essential": True, "value": found["issuer"]}).validate(verified.claims)

# Call through.
order = session.get(f"{base}/orders/1")

# Refresh.
refreshed = session.refresh_token(found["token_endpoint"])

again = session.get(f"{base}/orders/2")

# A service looks at somebody's token, as itself.
looker = OAuth2Session(client_id="my-service")
looker.fetch_token(f"{base}/auth/login", username=service, password=password)
looked_at = looker.introspect_token(
    found["introspection_endpoint"], token=refreshed["access_token"], auth=looker.token_auth
)

# Revoke: the access token alone, or with its refresh token the whole session.
revoked = session.revoke_token(
    found["revocation_endpoint"],
    token=refreshed["refresh_token"],
    token_type_hint="refresh_token",
)

after = session.get(f"{base}/orders/3")
looked_at_after = looker.introspect_token(
    found["introspection_endpoint"], token=refreshed["access_token"], auth=looker.token_auth
)


def refused(act):
    """The error that the library makes of a refusal; none, if it takes it for something else."""
    try:
        return {"taken_for": str(act())}
    except OAuthError as error:
        return {"error": error.error}


print(
    json.dumps(
        {
            "found": found,
            "signed_in": signed_in,
            "verified": verified.claims,
            "order": {"status": order.status_code, "body": order.json()},
            "refreshed": refreshed,
            "again": {"status": again.status_code, "body": again.json()},
            "looked_at": looked_at.json(),
            "revoked": revoked.status_code,
            "after": {"status": after.status_code, "body": after.json()},
            "looked_at_after": looked_at_after.json(),
            "refresh_after": refused(lambda: session.refresh_token(found["token_endpoint"])),
            "wrong_password": refused(
                lambda: session.fetch_token(f"{base}/auth/login", username=name, password="wrong")
            ),
        }
    )
)
