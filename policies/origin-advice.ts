/**
 * Advice for operators about a failing origin, for each error type of RFC 9209 §2.3 that Weir reports for origins,
 * and for the error statuses of gateways and servers.
 */

/** `isBreakerOpen`: the breaker is open and no request was sent. */
export function decideAdvice(kind: string, isBreakerOpen: boolean): string {
  if (isBreakerOpen)
    return 'the breaker is open: see the failures before it, and breaker.failures and breaker.open';
  return ADVICE[kind] ?? 'see cause';
}

const ADVICE: Readonly<Record<string, string>> = {
  dns_error: "check the name in the origin's url, and the resolver of this machine",
  dns_timeout: 'check that the resolver of this machine answers',
  destination_unavailable: 'check that the origin runs and that its url names the right host and port',
  destination_ip_unroutable: 'check the route from this machine to the address of the origin',
  connection_refused: 'check that the origin runs and listens where its url says',
  connection_terminated: 'see the log of the origin: it closed the connection before it answered',
  connection_timeout: 'check firewalls and the load of the origin, or raise timeouts.connect',
  connection_read_timeout: 'see what the origin waits for in the middle of an answer, or raise timeouts.body',
  connection_write_timeout: 'see why the origin does not read requests, or raise timeouts.headers',
  connection_limit_reached: 'raise connections or queue of the origin, or see why it answers slowly',
  tls_protocol_error:
    'check that the url says https where the origin speaks TLS, and the versions on both sides',
  tls_certificate_error: 'renew the certificate, or set tls.ca and tls.server-name of the origin',
  http_response_incomplete: 'see the log of the origin: it closed the connection within an answer',
  http_response_timeout: 'see why the origin is slow, or raise timeouts.headers',
  http_response_header_section_size: 'see which header fields of the origin are that large',
  http_protocol_error:
    'see what answers there: it may not speak HTTP/1.1, or send fields that contradict each other',
  answered_502: 'see the log of the gateway that the url of the origin names, and of what is behind it',
  answered_503: 'see why the origin refuses work: overload, maintenance, or no server behind its balancer',
  answered_504: 'see which server behind the gateway is slow',
  proxy_internal_error: 'please report it, with the line of the log',
};
