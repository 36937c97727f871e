//! How gateways and an admin API that run apart find each other.

use kernel::secret::Secret;

use super::Context;
use crate::file::FleetFile;
use crate::read::Field;
use crate::types::AdminHalf;
use crate::types::Endpoint;
use crate::types::Fleet;
use crate::types::GatewayHalf;
use crate::types::Proof;
use crate::values::Origin;
use crate::values::SecretRef;
use crate::values::token_problem;

/// The longest token: it has to fit into a header line of ours, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// Whether the file is that of a gateway alone, which signs nothing.
pub(super) fn is_of_a_gateway(field: &Field<FleetFile>) -> bool {
    field.value.as_ref().is_some_and(|file| file.admin_url.given && !file.listen.given)
}

pub(super) fn fleet(field: Field<FleetFile>, context: &mut Context<'_, '_, '_>) -> Option<Fleet> {
    let file = field.value?;
    let token = token(&file.token, context);
    let admin = admin(&file, token.as_ref(), context);
    let gateway = gateway(&file, token.as_ref(), context);
    Some(Fleet { admin, gateway })
}

fn token(field: &Field<SecretRef>, context: &mut Context<'_, '_, '_>) -> Option<Secret> {
    let secret = field.resolve(context.environment, context.variables, context.report)?;
    let text = secret.expose();
    if let Some(problem) = token_problem(&secret) {
        context.fault(&field.at, problem);
    } else if text.len() > TOKEN_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
        let message =
            format!("it goes into a header: use visible ASCII, at most {TOKEN_BYTES_MAX} bytes");
        context.fault(&field.at, message);
    }
    Some(secret)
}

fn admin(
    file: &FleetFile,
    token: Option<&Secret>,
    context: &mut Context<'_, '_, '_>,
) -> Option<AdminHalf> {
    let (certificate, private_key) = (&file.certificate, &file.private_key);
    for (one, other, name) in
        [(certificate, private_key, "private_key"), (private_key, certificate, "certificate")]
    {
        if one.given && !other.given {
            context.fault(&one.at, format!("it is of no use without `fleet.{name}`"));
        }
    }
    if !file.listen.given && (certificate.given || private_key.given) {
        let at = if certificate.given { &certificate.at } else { &private_key.at };
        context.fault(at, "it proves who listens at `fleet.listen`, and that is missing");
    }
    let proof = proof(file, context);
    let listen = file.listen.value?;
    if !listen.ip().is_loopback() && !certificate.given && !private_key.given {
        let message = format!(
            "`{listen}` can be reached by others: write `fleet.certificate` and \
             `fleet.private_key`; only loopback may be in the clear"
        );
        context.fault(&file.listen.at, message);
    }
    Some(AdminHalf { token: token?.clone(), listen, proof })
}

fn proof(file: &FleetFile, context: &mut Context<'_, '_, '_>) -> Option<Proof> {
    let certificate = certificates(&file.certificate, context);
    let private_key =
        file.private_key.resolve(context.environment, context.variables, context.report);
    if private_key.as_ref().is_some_and(|key| !is_pem(key, "PRIVATE KEY-----")) {
        context.fault(&file.private_key.at, "it is not a private key in PEM form");
    }
    Some(Proof { certificate: certificate?, private_key: private_key? })
}

fn gateway(
    file: &FleetFile,
    token: Option<&Secret>,
    context: &mut Context<'_, '_, '_>,
) -> Option<GatewayHalf> {
    let ca = certificates(&file.ca, context);
    let is_https =
        file.admin_url.value.as_ref().is_none_or(|Origin(url)| url.starts_with("https:"));
    if file.ca.given && !file.admin_url.given {
        context.fault(&file.ca.at, "it vouches for `fleet.admin_url`, and that is missing");
    } else if file.ca.given && !is_https {
        context.fault(&file.ca.at, "it vouches for nobody where `fleet.admin_url` is `http`");
    }
    let Origin(admin_url) = file.admin_url.value.clone()?;
    let admin = Endpoint::parse(&admin_url);
    let admin = admin.map_err(|error| context.fault(&file.admin_url.at, error)).ok()?;
    Some(GatewayHalf { token: token?.clone(), admin_url, admin, ca })
}

/// Certificates are no secrets, and may be written in the file.
pub(super) fn certificates(
    field: &Field<SecretRef>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Secret> {
    let pem = field.resolve_written(context.variables, context.report)?;
    if !is_pem(&pem, "CERTIFICATE-----") {
        context.fault(&field.at, "it is not a certificate in PEM form");
    }
    Some(pem)
}

fn is_pem(text: &Secret, kind: &str) -> bool {
    let text = text.expose();
    text.contains("-----BEGIN ") && text.contains(kind)
}
