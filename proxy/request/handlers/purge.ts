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
  readonly #conclusions: AccessRecords;
  readonly #purge: (tags: readonly string[]) => Promise<{ readonly sequence: number }>;

  constructor(
    conclusions: AccessRecords,
    purge: (tags: readonly string[]) => Promise<{ readonly sequence: number }>,
  ) {
    this.#conclusions = conclusions;
    this.#purge = purge;
  }

  enter(visit: RequestContext): void {
    const { exchange, site } = visit;
    const { token } = site.config.admin;
    if (token === '') {
      this.#refuse(visit, 403, 'Forbidden', 'PURGE needs admin.token to be configured.');
      return;
    }
    if (!bearsToken(fieldValue(exchange.fields, 'authorization'), token)) {
      this.#refuse(visit, 401, 'Unauthorized', 'PURGE needs the admin token.', [
        'WWW-Authenticate',
        'Bearer',
      ]);
      return;
    }
    const target = decideTarget(exchange.target, 'pass');
    if (target.kind !== 'target') {
      this.#refuse(visit, 400, 'Bad Request', 'The target is no path that can be read in one way alone.');
      return;
    }
    const { authority } = clientSite(clientOf(visit));
    const { path, query } = target;
    const tags = tagsOfPlace(site.config, { authority, path, query });
    this.#purge(tags).then(
      ({ sequence }) => {
        const content = Buffer.from(`${JSON.stringify({ sequence, tags: tags.length })}\n`);
        exchange.respond(200, ['Content-Type', 'application/json', 'Cache-Control', 'no-store'], content);
        this.#conclusions.whenEnded(visit, 'purge', '', 200);
      },
      () =>
        this.#refuse(
          visit,
          503,
          'Service Unavailable',
          'The purge is in force but could not be written down.',
        ),
    );
  }

  #refuse(
    visit: RequestContext,
    status: number,
    title: string,
    detail: string,
    more: readonly string[] = [],
  ): void {
    refuse(visit.exchange, status, title, detail, more);
    this.#conclusions.whenEnded(visit, 'purge', 'refused', status);
  }
}
