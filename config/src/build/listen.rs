//! Sockets and their bounds.

use super::Context;
use crate::file::ListenFile;
use crate::read::Field;
use crate::types::Listen;

pub(super) fn listen(
    field: Field<ListenFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Listen> {
    let file = field.value?;
    if let Some(public) = &file.public.value {
        if public.is_empty() {
            context.fault(&file.public.at, "an empty list serves nobody: write an address");
        }
        for (index, spot) in public.iter().enumerate() {
            let fixed = spot.value.port() != 0;
            if fixed && public[..index].iter().any(|other| other.value == spot.value) {
                context.fault(&spot.at, format!("`{}` is listed twice", spot.value));
            }
            if fixed && file.ops.value == Some(spot.value) {
                context.fault(&spot.at, format!("`{}` is `listen.ops` as well", spot.value));
            }
        }
    }
    Some(Listen {
        public: file.public.value?.into_iter().map(|spot| spot.value).collect(),
        ops: file.ops.value?,
        trusted_proxies: file.trusted_proxies.value?,
        public_url: file.public_url.value.map(|origin| origin.0),
        expose_management: file.expose_management.value?,
        header_timeout: file.header_timeout.value?.0,
        idle_timeout: file.idle_timeout.value?.0,
        drain_timeout: file.drain_timeout.value?.0,
        headers_bytes_max: file.headers_bytes_max.value?.0 as usize,
        connections_max: file.connections_max.value?.0 as usize,
    })
}
