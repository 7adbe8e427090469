import { fieldValue } from '../../../policies/http/fields.ts';
import { clientSite } from '../../../policies/http/forwarding.ts';
import { decideTarget } from '../../../policies/key.ts';
import { tagsOfPlace } from '../../../policies/url-tags.ts';
import { bearsToken } from '../../../policies/bearer-token.ts';
import type { AccessRecords } from '../access-records.ts';
import { refuse } from '../error-responses.ts';
import { clientOf, type RequestContext } from '../context.ts';

/** `PURGE URL` on the main port: that URL, hard, by the admin side's token. */
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
    const { exchange, site } = context;
    const { token } = site.config.admin;
    if (token === '') {
      this.#refuse(context, 403, 'Forbidden', 'PURGE needs admin.token to be configured.');
      return;
    }
    if (!bearsToken(fieldValue(exchange.fields, 'authorization'), token)) {
      this.#refuse(context, 401, 'Unauthorized', 'PURGE needs the admin token.', [
        'WWW-Authenticate',
        'Bearer',
      ]);
      return;
    }
    const target = decideTarget(exchange.target, 'pass');
    if (target.kind !== 'target') {
      this.#refuse(context, 400, 'Bad Request', 'The target is no path that can be read in one way alone.');
      return;
    }
    const { authority } = clientSite(clientOf(context));
    const { path, query } = target;
    const tags = tagsOfPlace(site.config, { authority, path, query });
    this.#purge(tags).then(
      ({ sequence }) => {
        const content = Buffer.from(`${JSON.stringify({ sequence, tags: tags.length })}\n`);
        exchange.respond(200, ['Content-Type', 'application/json', 'Cache-Control', 'no-store'], content);
        this.#accessRecords.whenEnded(context, 'purge', '', 200);
      },
      () =>
        this.#refuse(
          context,
          503,
          'Service Unavailable',
          'The purge is in force but could not be written down.',
        ),
    );
  }

  #refuse(
    context: RequestContext,
    status: number,
    title: string,
    detail: string,
    more: readonly string[] = [],
  ): void {
    refuse(context.exchange, status, title, detail, more);
    this.#accessRecords.whenEnded(context, 'purge', 'refused', status);
  }
}
