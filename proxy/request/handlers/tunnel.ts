import { cacheStatus } from '../../../policies/http/cache-status.ts';
import { passedFields } from '../../../policies/http/downstream.ts';
import { fieldValue } from '../../../policies/http/fields.ts';
import { endToEnd, VIA } from '../../../policies/http/forwarding.ts';
import { isSwitchOffered } from '../../../policies/http/upgrade.ts';
import { originForm } from '../../../policies/key.ts';
import type { OriginFailure } from '../../../origin-adapters/origin.ts';
import type { AccessRecords } from '../access-records.ts';
import type { RoutedContext } from '../context.ts';
import { refuseFailed } from '../error-responses.ts';
import { passFields } from './pass.ts';

/** Requests that ask to switch to another protocol. */
export class TunnelHandler {
  readonly #accessRecords: AccessRecords;

  constructor(accessRecords: AccessRecords) {
    this.#accessRecords = accessRecords;
  }

  /** RFC 9110 §7.8: asks the origin to switch; any other response is passed on. */
  enter(context: RoutedContext): void {
    const { exchange, route } = context;
    const offered = exchange.upgrade!;
    const request = {
      method: exchange.method,
      path: originForm(context.path, context.query),
      fields: passFields(context),
      body: null,
      priority: 'client' as const,
      unboundedBody: true,
    };
    void route.origin.upgrade(request, offered.join(', ')).then((result) => {
      switch (result.kind) {
        case 'switched': {
          if (exchange.closed) {
            result.socket.destroy();
            this.#accessRecords.abandoned(context, offered[0]!);
            return;
          }
          if (!isSwitchOffered(offered, result.fields)) {
            result.socket.destroy();
            refuseFailed(context, this.#accessRecords, SWITCHED_ELSEWHERE, { fwd: 'bypass' });
            return;
          }
          const protocol = fieldValue(result.fields, 'upgrade')!;
          exchange.tunnel(
            101,
            [...endToEnd(result.fields), 'Upgrade', protocol, 'Via', VIA],
            result.socket,
            result.head,
          );
          this.#accessRecords.whenEnded(context, 'tunnel', protocol.toLowerCase(), 101);
          return;
        }
        case 'refused': {
          const status = cacheStatus({ fwd: 'bypass', fwdStatus: result.status, detail: 'upgrade-refused' });
          const sink = exchange.stream(result.status, [
            ...endToEnd(passedFields(result.fields, route.config.cache)),
            'Via',
            VIA,
            'Cache-Status',
            status,
          ]);
          result.body.on('data', (chunk: Buffer) => {
            if (!sink.write(chunk)) result.body.pause();
          });
          sink.onDrain(() => result.body.resume());
          result.body.on('end', () => sink.end());
          result.body.on('error', () => exchange.abort());
          exchange.onGone(() => result.body.destroy());
          this.#accessRecords.whenEnded(context, 'pass', 'upgrade-refused', result.status);
          return;
        }
        case 'failed':
          refuseFailed(context, this.#accessRecords, result.failure, { fwd: 'bypass' });
          return;
        default:
          result satisfies never;
      }
    });
  }
}

const SWITCHED_ELSEWHERE: OriginFailure = {
  kind: 'http_protocol_error',
  status: 502,
  message: 'the origin switched to a protocol that the client did not offer',
  maybeProcessed: true,
  cause: null,
};
