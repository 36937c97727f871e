//! What surrounds passwords: how often they may be tried, and the mail that resets them.

use super::Context;
use crate::file::MailFile;
use crate::file::ThrottleFile;
use crate::read::Field;
use crate::types::Mail;
use crate::types::Throttle;

pub(super) fn throttle(field: Field<ThrottleFile>) -> Option<Throttle> {
    let file = field.value?;
    Some(Throttle {
        account: file.account.value?.0,
        address: file.address.value?.0,
        pair: file.pair.value?.0,
        device: file.device.value?.0,
        reset: file.reset.value?.0,
        register: file.register.value?.0,
        provider: file.provider.value?.0,
        keys_max: file.keys_max.value?.0 as usize,
    })
}

pub(super) fn mail(field: Field<MailFile>, context: &mut Context<'_, '_, '_>) -> Option<Mail> {
    let file = field.value?;
    let password = file.password.resolve(context.environment, context.variables, context.report);
    if file.username.given && !file.password.given {
        context.fault(&file.username.at, "a name without `mail.password`");
    }
    if file.password.given && !file.username.given {
        context.fault(&file.password.at, "a password without `mail.username`");
    }
    let server = file.smtp_url.value?;
    Some(Mail {
        host: server.host,
        port: server.port,
        security: server.security,
        from: file.from.value?.0,
        credentials: file.username.value.map(|name| name.0).zip(password),
    })
}
