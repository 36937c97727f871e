//! Back ends that are given time to make ready, before requests come to them.

use std::time::Duration;

use config::Endpoint;
use config::Upstream;
use config::UpstreamWarmUp;
use kernel::warm_up::Fault;
use kernel::warm_up::Resource;
use kernel::warm_up::Weight;
use outbound::CallError;
use reqwest::Client;
use reqwest::StatusCode;

/// How long one answer may take: a back end may load before it gives one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a back end does not count as warm.
#[derive(Debug, thiserror::Error)]
enum PreloadError {
    #[error("{endpoint}: {source}")]
    Call { endpoint: String, source: CallError },
    #[error("{endpoint} answered {}", status.as_u16())]
    Status { endpoint: String, status: StatusCode },
}

/// A resource for each of `upstreams` that is to be asked something before requests come.
///
/// It is warm once all its servers, asked one after another, have answered 200 to 299.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub fn resources(upstreams: &[Upstream]) -> Result<Vec<Resource>, reqwest::Error> {
    let asked = upstreams.iter().filter_map(|one| Some((one, one.warm_up.as_ref()?)));
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    // One for all: each would read the certificates of the system for itself.
    let client = outbound::client()?;
    asked.into_iter().map(|(upstream, warm_up)| resource(upstream, warm_up, &client)).collect()
}

fn resource(
    upstream: &Upstream,
    warm_up: &UpstreamWarmUp,
    client: &Client,
) -> Result<Resource, reqwest::Error> {
    let call = |endpoint| Call::new(endpoint, &warm_up.target, client);
    let calls: Vec<Call> = upstream.endpoints.iter().map(call).collect::<Result<_, _>>()?;
    let weight = if warm_up.required { Weight::Required } else { Weight::Optional };
    let answer_timeout = warm_up.timeout.min(ANSWER_TIMEOUT);
    let name = format!("upstream {}", upstream.name);
    let servers = u32::try_from(calls.len()).unwrap_or(u32::MAX);
    let (resource, _) = Resource::new(&name, weight, move || {
        let calls = calls.clone();
        async move {
            for call in &calls {
                call.make(answer_timeout).await.map_err(Fault::passing)?;
            }
            Ok(())
        }
    });
    Ok(resource.within(answer_timeout.saturating_mul(servers)).tried_for(warm_up.timeout))
}

/// What one server is asked.
#[derive(Clone)]
struct Call {
    client: Client,
    url: String,
    /// The server as it is configured, for people.
    endpoint: String,
}

impl Call {
    fn new(endpoint: &Endpoint, target: &str, client: &Client) -> Result<Self, reqwest::Error> {
        let bracketed = |host: &str| match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let (origin, endpoint, client) = match endpoint {
            Endpoint::Http { host, port } => {
                let origin = format!("http://{}:{port}", bracketed(host));
                (origin.clone(), origin, client.clone())
            }
            Endpoint::Https { host, port } => {
                let origin = format!("https://{}:{port}", bracketed(host));
                (origin.clone(), origin, client.clone())
            }
            Endpoint::Unix(path) => {
                let endpoint = format!("unix:{}", path.display());
                ("http://localhost".to_owned(), endpoint, outbound::client_at(path)?)
            }
        };
        Ok(Self { client, url: format!("{origin}{target}"), endpoint })
    }

    async fn make(&self, timeout: Duration) -> Result<(), PreloadError> {
        let endpoint = || self.endpoint.clone();
        let answered = outbound::status(self.client.get(&self.url).timeout(timeout)).await;
        match answered.map_err(|source| PreloadError::Call { endpoint: endpoint(), source })? {
            status if status.is_success() => Ok(()),
            status => Err(PreloadError::Status { endpoint: endpoint(), status }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn url(endpoint: &Endpoint) -> (String, String) {
        let client = outbound::client().expect("a client");
        let call = Call::new(endpoint, "/warm?all", &client).expect("a client");
        (call.url, call.endpoint)
    }

    #[test]
    fn a_server_is_asked_where_it_is() {
        let (host, port) = ("::1".to_owned(), 8000);
        let (asked, shown) = url(&Endpoint::Http { host, port });
        assert_eq!(
            (asked.as_str(), shown.as_str()),
            ("http://[::1]:8000/warm?all", "http://[::1]:8000")
        );
        let (host, port) = ("orders".to_owned(), 443);
        assert_eq!(url(&Endpoint::Https { host, port }).0, "https://orders:443/warm?all");
        let (asked, shown) = url(&Endpoint::Unix(PathBuf::from("/run/a.sock")));
        assert_eq!(
            (asked.as_str(), shown.as_str()),
            ("http://localhost/warm?all", "unix:/run/a.sock")
        );
    }

    #[test]
    fn only_upstreams_that_say_so_are_asked() {
        let upstream = |name: &str, warm_up| Upstream {
            name: name.to_owned(),
            endpoints: vec![Endpoint::Unix(PathBuf::from("/run/a.sock"))],
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(1),
            warm_up,
        };
        let asked = UpstreamWarmUp {
            target: "/warm".to_owned(),
            timeout: Duration::from_secs(1),
            required: false,
        };
        let all = [upstream("orders", None), upstream("models", Some(asked))];
        let resources = resources(&all).expect("clients");
        let names: Vec<_> = resources.iter().map(Resource::name).collect();
        assert_eq!(names, ["upstream models"]);
    }
}
