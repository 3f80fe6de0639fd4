"""One verb: `Transport.post`, a POST that no endpoint can prolong or lead astray.

The way of one attempt, down through the floors and back up:

    Transport.post(app, url, ..., seconds)           a Call with the deadline, in `current_call`
      Adapter.send                                   requests: what it takes for the pool of the URL's host
        _Pool.urlopen                                an idle connection of the app that is not too
                                                     old, or a new one
          _Connection._new_conn                      only for a new one:
            Transport._connect                         scheme and port allowed? (guard)
              Resolver.addresses                       look-up in a thread, shared by all who want the name
              guard                                    every address allowed that is tried? before any packet
              sockets.connect_first                    addresses that were checked, beside one another
            TlsContext.wrap_socket                     https: handshake, certificate (TlsSocket)
          _Connection.request                        headers and body in one write; before, on a reused one: is
                                                     anything unread?
          _Connection.getresponse                    status and headers (FieldsResponse)
      _read                                          up to 64 KiB of the body; then the connection is
                                                     kept if nothing is unread (IdleConnections), or
                                                     closed

An exception on any of these floors reaches Transport.post, where faults.judge says whose fault it is.

Wherever a socket would block, `hub.until` lets the other attempts go on, for at most what is left of the deadline.

What an endpoint can take from its neighbours is bounded here:

    connections    of each app its own; 300 idle ones over all; no TLS session is resumed    connections, sockets
    threads        one look-up for a name; those that hang have a share                      resolver
    processor      bytes on the wire, reads, lines, chunks, CPU of TLS                       Call, fields, sockets
                   addresses of a name: eight                                                resolver
    descriptors    of an attempt five; the idle connections go first                         connections, Transport

What the sockets and the connection note in the Call while they work:

    begin_connection  by _Connection           a handshake begins, and with it what may be on the wire
    begin_request   by _Connection.begin       reused = this connection served a request before
    room            by Socket                  how many bytes may still come over the wire; none is an error: in a
                                               handshake, before the headers ended, around a body
    on_wire         by Socket                  bytes_on_wire += n
    on_read         by Socket and TlsSocket    reads += 1; too many are an error, and after a few each waits first
    on_decrypted    by Socket or TlsSocket     response_began = a byte came; eof = no more comes
    end_headers     by _Connection             headers_read: the status and headers are there
    unframed        by FieldsResponse          where the body ends is not known: it is not read
    unread          by FieldsResponse          more came than the response: the connection is not kept
    tls_seconds     by TlsSocket's OpenSSL     the CPU that it took; too much is an error
    remaining       by all of them             seconds left; raises TimeoutError when there are none

`reused and not response_began` makes Transport go on with the next connection; `eof` before `headers_read` makes a
response that was cut off a send failure.

Parts of libraries that are private, or public but without a promise, and that this package (and bellhop.tables)
relies on. Each has a test in test_library_contract.py that fails when an update changes it:

    library   part                                       used in             if it changes
    urllib3   HTTPConnection._new_conn, called by        adapter             the guard and the deadline are
              connect(); _dns_host                                           bypassed: also refused at start
    urllib3   request() sends only by self.send()        adapter             requests leave in two packets, or not
    urllib3   putheader() only adds marks to             adapter             headers that urllib3 means to leave
              http.client's                                                  out are sent
    urllib3   HTTPConnection and HTTPSConnection work    adapter             posts fail: every test notices
              without a pool: connect(), request(),
              getresponse(), close(), sock
    urllib3   a response's _connection and _pool, of     adapter             connections are not kept alive, or not
              which it calls _put_conn()                                     closed
    urllib3   util.ssltransport.SSLTransport, which      sockets             TLS fails, or loses the deadline
              reads its socket by recv()
    urllib3   wrap_socket() may return what is no        sockets             https fails: every test notices
              SSLSocket
    urllib3   a body read to its end gives the           adapter             connections are not kept alive
              connection back to its pool
    urllib3   SSLTransport.sslobj, .incoming             sockets             https fails: every test notices
    requests  init_poolmanager, cert_verify,             adapter             slower, or requests' own behaviour
              get_connection_with_tls_context,                               (proxies, cookies) comes back
              request_url, build_response are called
    requests  HTTPAdapter.send without a Session,        transport, adapter  posts fail: every test notices
              which calls only urlopen() of a pool
    ssl       SSLContext.sslobject_class                 sockets             a handshake's CPU has no bound
    http.client  takes a header block that was cut off   adapter             nothing: the check on eof is then
              for a whole one                                                superfluous
    http.client  HTTPConnection.response_class;          fields              odd headers are send failures again
              begin() reads lines by self.fp.readline()
    http.client  _close_conn() after a body's last byte  fields              what follows it is not noticed
    socket    SocketIO reads by recv_into()              sockets             the deadline is lost on plain HTTP
    greenlet  a greenlet has its own contextvars         sockets, hub        attempts mix their deadlines
    pynamodb  Model._get_connection, get_meta_table,     bellhop.tables      start fails: every test notices
              TableConnection.connection,
              Connection.session
"""
