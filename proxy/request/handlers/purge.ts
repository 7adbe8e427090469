import { fieldValue } from '../../../policies/http/fields.ts';
import { clientSite } from '../../../policies/http/forwarding.ts';
import { decideTarget } from '../../../policies/key.ts';
import { hasWildcard } from '../../../policies/url-place.ts';
import { tagsOfPlace } from '../../../policies/url-tags.ts';
import { bearsToken } from '../../../policies/bearer-token.ts';
import type { AccessRecords } from '../access-records.ts';
import { refuse } from '../error-responses.ts';
import { clientOf, type RequestContext } from '../context.ts';

/** `PURGE URL` on the main port: invalidates that URL (hard), if the request bears the admin token. */
export class PurgeHandler {
  readonly #accessRecords: AccessRecords;
  readonly #purge: (tags: readonly string[]) => Promise<{ readonly sequence: number }>;

  constructor(
    accessRecords: AccessRecords,
    purge: (tags: readonly string[]) => Promise<{ readonly sequence: number }>,
  ) {
    this.#accessRecords = accessRecords;
    this.#purge = purge;
  }

  enter(context: RequestContext): void {
    const { exchange, configuration } = context;
    const { token } = configuration.config.admin;
    if (token === '') {
      refuse(context, this.#accessRecords, 'purge-disabled');
      return;
    }
    if (!bearsToken(fieldValue(exchange.fields, 'authorization'), token)) {
      refuse(context, this.#accessRecords, 'purge-unauthorized', {
        fields: ['WWW-Authenticate', 'Bearer'],
      });
      return;
    }
    const target = decideTarget(exchange.target, 'pass');
    if (target.kind !== 'target') {
      refuse(context, this.#accessRecords, 'purge-malformed');
      return;
    }
    if (hasWildcard(target.path)) {
      refuse(context, this.#accessRecords, 'purge-wildcard');
      return;
    }
    const { authority } = clientSite(clientOf(context));
    const { path, query } = target;
    const tags = tagsOfPlace(configuration.config, { authority, path, query });
    this.#purge(tags).then(
      ({ sequence }) => {
        const content = Buffer.from(`${JSON.stringify({ sequence, tags: tags.length })}\n`);
        exchange.respond(200, ['Content-Type', 'application/json', 'Cache-Control', 'no-store'], content);
        this.#accessRecords.whenEnded(context, 'purge', '', 200);
      },
      // The fence counts a failure to write the state; the coordinator logs any other.
      () => refuse(context, this.#accessRecords, 'purge-not-durable'),
    );
  }
}
