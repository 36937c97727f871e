//! Which gateways a fleet has: those that have said so within a minute.

use fred::types::Value;

use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;

/// The bytes of a gateway's name.
pub const NAME_BYTES: usize = 8;

/// What a gateway is called: random, and another after each start.
pub type GatewayName = [u8; NAME_BYTES];

/// The set of a fleet's gateways.
#[derive(Debug)]
pub(crate) struct Gateways {
    key: String,
    script: Script,
}

impl Gateways {
    /// That of the fleet whose keys begin with `namespace`.
    pub(crate) fn new(namespace: &str) -> Self {
        let script = Script::new(include_str!("gateways.lua"));
        Self { key: format!("{{{namespace}:#gateways}}"), script }
    }

    /// Says that `name` is there; returns how many are.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn announce(
        &self,
        connection: &Connection,
        name: &GatewayName,
    ) -> Result<u32, Lost> {
        self.run(connection, "announce", name).await
    }

    /// Says that `name` goes.
    ///
    /// # Errors
    /// [`Lost`]; then it is forgotten within a minute.
    pub(crate) async fn leave(
        &self,
        connection: &Connection,
        name: &GatewayName,
    ) -> Result<(), Lost> {
        self.run(connection, "leave", name).await.map(drop)
    }

    async fn run(
        &self,
        connection: &Connection,
        act: &'static str,
        name: &GatewayName,
    ) -> Result<u32, Lost> {
        let arguments = vec![Value::from_static_str(act), Value::Bytes(name.to_vec().into())];
        let count: i64 = connection.run(&self.script, &self.key, arguments).await?;
        Ok(u32::try_from(count).unwrap_or_default())
    }
}
