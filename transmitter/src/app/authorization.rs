//! From settings to those who judge credentials that are not in our own table.

use ssf_common::runtime::Env;
use ssf_common::runtime::config::resolve_secret;
use ssf_common::runtime::outgoing::{Guard, Outgoing};

use super::OpenError;
use crate::authorization::{Assertions, Fetcher, Outside, Patience};
use crate::config::Settings;

/// Who judges credentials that are not in our own table.
pub(super) fn prepare(settings: &Settings, outgoing: &Outgoing, env: &Env) -> Result<(Outside, Assertions), OpenError> {
    let configured = &settings.authorization;
    let patience = Patience {
        refresh: configured.keys_refresh.duration(),
        cooldown: configured.keys_cooldown.duration(),
        introspection_cache: configured.introspection_cache.duration(),
    };
    let (timeout, is_development) = (configured.timeout.duration(), settings.is_development());
    // servers stand in the configuration, so they may be anywhere; where clients publish their keys, an issuer's
    // administrator says
    let of_operators = Fetcher::new(&settings.outgoing(Guard::open())?, timeout, is_development)?;
    let of_clients = Fetcher::new(outgoing, timeout, is_development)?;
    let servers = configured.servers.iter().enumerate().map(|(at, server)| {
        let key = format!("authorization.servers[{at}].client_secret");
        let secret = resolve_secret(&key, server.client_secret.as_ref(), server.client_secret_file.as_deref())?;
        Ok::<_, OpenError>((server.clone(), secret))
    });
    let servers: Vec<_> = servers.collect::<Result<_, _>>()?;
    let outside = Outside::new(&servers, &settings.issuer.url, of_operators, patience, env.clone());
    let longest = settings.tokens.max_assertion_lifetime.duration();
    if settings.tokens.allow_public_clients {
        tracing::warn!(
            "tokens.allow_public_clients is on: whoever knows the name of a client with the method `none` is that client; never do this outside a closed test setup"
        );
    }
    Ok((outside, Assertions::new(of_clients, patience, longest, env.clone())))
}
