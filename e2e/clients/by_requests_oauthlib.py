"""Goes through a sign-in with requests-oauthlib, and prints what it saw as JSON.

Arguments: Doorward's URL, a person, a service that may introspect, the password of both.
"""

import json
import sys

from oauthlib.oauth2 import LegacyApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session

base, name, service, password = sys.argv[1:]

# Find the endpoints, and sign in.
client = LegacyApplicationClient(client_id="my-app")
session = OAuth2Session(client=client, scope=["orders:read", "orders:write"])
found = session.get(f"{base}/.well-known/oauth-authorization-server").json()
signed_in = session.fetch_token(f"{base}/auth/login", username=name, password=password)

# Call through.
order = session.get(f"{base}/orders/1")

# Refresh.
refreshed = session.refresh_token(found["token_endpoint"])

again = session.get(f"{base}/orders/2")

# A service looks at somebody's token, as itself.
looker = OAuth2Session(client=LegacyApplicationClient(client_id="my-service"))
looker.fetch_token(f"{base}/auth/login", username=service, password=password)
looked_at = looker.post(found["introspection_endpoint"], data={"token": session.access_token})

# Revoke: the access token alone, or with its refresh token the whole session.
url, headers, body = client.prepare_token_revocation_request(
    found["revocation_endpoint"], refreshed["refresh_token"], token_type_hint="refresh_token"
)
revoked = session.post(url, headers=headers, data=body)

after = session.get(f"{base}/orders/3")
data = {"token": refreshed["access_token"]}
looked_at_after = looker.post(found["introspection_endpoint"], data=data)


def refused(act):
    """The error that the library makes of a refusal; none, if it takes it for something else."""
    try:
        return {"taken_for": str(act())}
    except OAuth2Error as error:
        return {"error": error.error}


print(
    json.dumps(
        {
            "found": found,
            "signed_in": signed_in,
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
