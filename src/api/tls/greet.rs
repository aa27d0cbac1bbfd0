//! The first words on a connection: a TLS handshake, with a limit to its time; and a hint for who speaks plain HTTP.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::Tls;
use crate::api::{crowd::Seat, heard::Heard, stall::Unstalled};

/// For how long who speaks plain HTTP is listened to, so that our hint is not lost with a reset.
const LINGER: Duration = Duration::from_secs(1);
const HINT: &str = "HTTP/1.1 400 Bad Request\r\n\
                    Content-Type: text/plain; charset=utf-8\r\n\
                    Content-Length: 54\r\n\
                    Connection: close\r\n\r\n\
                    This port speaks TLS only: ask for it with https://...";

/// Greets a client within a time; `answer_idle` is how long it may leave our bytes.
pub(in crate::api) async fn greet(
    tls: &Tls,
    stream: TcpStream,
    seat: &Arc<Seat>,
    within: Duration,
    answer_idle: Duration,
) -> io::Result<TlsStream<Heard<Unstalled<TcpStream>>>> {
    let greeting = async {
        let mut first = [0];
        // A record of TLS begins with a small number, a request with a letter.
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
            hint(stream).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
        }
        let config = tls.config().ok_or_else(|| io::Error::other("no authority of clients is valid"))?;
        TlsAcceptor::from(config).accept(Heard::new(Unstalled::new(stream, answer_idle), seat)).await
    };
    timeout(within, greeting).await?
}

async fn hint(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(HINT.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4_096];
    let _ = timeout(LINGER, async { while let Ok(1..) = stream.read(&mut rest).await {} }).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_as_long_as_it_says() {
        let (head, body) = HINT.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
