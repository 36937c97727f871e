// Goes through a sign-in with openid-client, and prints what it saw as JSON.
//
// Arguments: Doorward's URL, a person, a service that may introspect, the password of both.

import { createRemoteJWKSet, jwtVerify } from "jose";
import * as client from "openid-client";

const [base, name, service, password] = process.argv.slice(2);

// Find the endpoints. `allowInsecureRequests` is for http on one's own machine alone.
const config = await client.discovery(new URL(base), "my-app", undefined, client.None(), {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});
const found = config.serverMetadata();

// Sign in. The metadata does not offer the password grant, so its endpoint is named.
const login = new client.Configuration(
  { ...found, token_endpoint: `${base}/auth/login` },
  "my-app",
);
client.allowInsecureRequests(login);
const signedIn = await client.genericGrantRequest(login, "password", {
  username: name,
  password,
  scope: "orders:read orders:write",
});

// Verify the token by the published keys, as a back end may.
const keys = createRemoteJWKSet(new URL(found.jwks_uri));
const verified = await jwtVerify(signedIn.access_token, keys, { issuer: found.issuer });

// Call through.
const order = await client.fetchProtectedResource(
  config,
  signedIn.access_token,
  new URL(`${base}/orders/1`),
  "GET",
);

// Refresh.
const refreshed = await client.refreshTokenGrant(config, signedIn.refresh_token);

const again = await client.fetchProtectedResource(
  config,
  refreshed.access_token,
  new URL(`${base}/orders/2`),
  "GET",
);

// A service looks at somebody's token, as itself.
const itself = await client.genericGrantRequest(login, "password", { username: service, password });
const asItself = (_server, _client, _body, headers) =>
  headers.set("authorization", `Bearer ${itself.access_token}`);
const looker = new client.Configuration(found, "my-service", undefined, asItself);
client.allowInsecureRequests(looker);
const lookedAt = await client.tokenIntrospection(looker, refreshed.access_token);

// Revoke: the access token alone, or with its refresh token the whole session.
await client.tokenRevocation(config, refreshed.refresh_token, {
  token_type_hint: "refresh_token",
});

/** The error that the library makes of a refusal; none, if it takes it for something else. */
const refused = (act) =>
  act.then(
    (taken) => ({ taken_for: String(taken) }),
    (error) => ({
      status: error.status,
      // In the body of the answer, or in its `WWW-Authenticate`.
      error: error.error ?? error.cause[0].parameters.error ?? error.cause[0].scheme,
    }),
  );

console.log(
  JSON.stringify({
    found,
    signed_in: signedIn,
    verified: verified.payload,
    order: { status: order.status, body: await order.json() },
    refreshed,
    again: { status: again.status, body: await again.json() },
    looked_at: lookedAt,
    after: await refused(
      client.fetchProtectedResource(
        config,
        refreshed.access_token,
        new URL(`${base}/orders/3`),
        "GET",
      ),
    ),
    looked_at_after: await client.tokenIntrospection(looker, refreshed.access_token),
    refresh_after: await refused(client.refreshTokenGrant(config, refreshed.refresh_token)),
    wrong_password: await refused(
      client.genericGrantRequest(login, "password", { username: name, password: "wrong" }),
    ),
  }),
);
