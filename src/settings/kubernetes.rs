//! Variables that Kubernetes puts into every container for the Services it knows.
//!
//! A Service named `longshore`, or `longshore-anything`, gives variables with our prefix in every Pod of its namespace
//! (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>). They are no mistake of
//! the person who wrote the Pod. No flag of ours ends in `-port`, so that the two kinds never meet.

/// Protocols a Service's port may have.
const PROTOCOLS: [&str; 3] = ["_TCP", "_UDP", "_SCTP"];
/// What may follow the protocol.
const PARTS: [&str; 4] = ["", "_PROTO", "_PORT", "_ADDR"];

/// Whether Kubernetes could have put `name` there.
///
/// `LONGSHORE_PORT=8080` was written by a person, who meant our address: Kubernetes' value is a URL, never a number.
pub(super) fn is_injected(name: &str, value: &str) -> bool {
    let Some(name) = name.strip_prefix("LONGSHORE").filter(|rest| rest.starts_with('_')) else {
        return false;
    };
    if !name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
        return false;
    }
    let named_port = name.split_once("_SERVICE_PORT_").is_some_and(|(_, port)| !port.is_empty());
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    named_port
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || is_numbered_port(name)
        || (name.ends_with("_PORT") && !is_number)
}

/// Whether `name` ends like `_PORT_8080_TCP` or `_PORT_8080_TCP_ADDR`.
fn is_numbered_port(name: &str) -> bool {
    PARTS.iter().filter_map(|part| name.strip_suffix(part)).any(|name| {
        PROTOCOLS.iter().filter_map(|protocol| name.strip_suffix(protocol)).any(|name| {
            name.rsplit_once("_PORT_")
                .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_injected;

    /// What kubelet sets for one port of a Service, in its own order.
    fn variables(service: &str, name: &str, port: u16, protocol: &str) -> Vec<(String, String)> {
        let upper = |text: &str| text.to_uppercase().replace('-', "_");
        let (service, lower) = (upper(service), protocol.to_lowercase());
        let numbered = format!("{service}_PORT_{port}_{protocol}");
        let url = format!("{lower}://10.96.7.1:{port}");
        vec![
            (format!("{service}_SERVICE_HOST"), "10.96.7.1".into()),
            (format!("{service}_SERVICE_PORT"), port.to_string()),
            (format!("{service}_SERVICE_PORT_{}", upper(name)), port.to_string()),
            (format!("{service}_PORT"), url.clone()),
            (numbered.clone(), url),
            (format!("{numbered}_PROTO"), lower),
            (format!("{numbered}_PORT"), port.to_string()),
            (format!("{numbered}_ADDR"), "10.96.7.1".into()),
        ]
    }

    #[test]
    fn a_port_that_is_a_number_was_written_by_a_person() {
        assert!(!is_injected("LONGSHORE_PORT", "8080"));
        assert!(is_injected("LONGSHORE_PORT", "tcp://10.96.7.1:8080"));
    }

    #[test]
    fn only_the_known_shapes_are_injected() {
        for name in [
            "LONGSHORE_VOLUME",
            "LONGSHORE_SERVICE",
            "LONGSHORE_SERVICE_PORT_",
            "LONGSHORE_SERVICE_HOSTS",
            "LONGSHORE_PORT_TCP",
            "LONGSHORE_PORT_80_HTTP",
            "LONGSHORE_PORT_8x_TCP",
            "LONGSHORE_PORT_80_TCP_NAME",
            "LONGSHORE_port",
            "LONGSHORE_x_SERVICE_HOST",
            "LONGSHOREPORT",
        ] {
            assert!(!is_injected(name, "tcp://10.96.7.1:80"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_kubernetes_injects_is_known(
            service in "longshore(-[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?)?",
            name in "[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?",
            port in 1_u16..,
            protocol in prop::sample::select(vec!["TCP", "UDP", "SCTP"]),
        ) {
            for (variable, value) in variables(&service, &name, port, protocol) {
                prop_assert!(is_injected(&variable, &value), "{}={}", variable, value);
            }
        }
    }
}
