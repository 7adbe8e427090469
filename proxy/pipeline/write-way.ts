import { invalidatedGroups, invalidatedTargets } from '../../policies/rfc9111/invalidation.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { normalizeTarget } from '../../policies/key.ts';
import { tagsOfPlace } from '../routes/url-tags.ts';
import type { PassWay } from './pass-way.ts';
import type { RoutedVisit } from './visit.ts';

/** The door of the fence, from a worker. */
export interface Invalidator {
  /** Resolves when the tags are invalid for every worker and that is synced; rejects where it can't be synced. */
  invalidate(tags: readonly string[]): Promise<void>;
}

/** Unsafe requests, by the write policy of their route. */
export class WriteWay {
  readonly #passWay: PassWay;
  readonly #invalidator: Invalidator;
  readonly #onNotDurable: (error: unknown) => void;

  constructor(passWay: PassWay, invalidator: Invalidator, onNotDurable: (error: unknown) => void) {
    this.#passWay = passWay;
    this.#invalidator = invalidator;
    this.#onNotDurable = onNotDurable;
  }

  /** `around`: passed on; what RFC 9111 §4.4 names is invalid before the client hears of the success. */
  enter(visit: RoutedVisit): void {
    this.#passWay.enter(visit, 'method', {
      outcome: 'write',
      forward: 'method',
      onHead: async (status, fields) => {
        const tags = this.#tagsOf(visit, status, fields);
        if (tags.length > 0) await this.#invalidate(tags);
        return [];
      },
    });
  }

  #tagsOf(visit: RoutedVisit, status: number, fields: Fields): string[] {
    const { exchange, site, route, authority, scheme, path, query } = visit;
    const unsafe = {
      method: exchange.method,
      target: query === '' ? path : `${path}?${query}`,
      authority,
      scheme,
      aliases: route.originConfig.urls,
      status,
      fields,
    };
    const urls = invalidatedTargets(unsafe).flatMap((target) => {
      const normal = normalizeTarget(target);
      return normal === null ? [] : tagsOfPlace(site.config, { authority, ...normal });
    });
    return [...new Set([...urls, ...invalidatedGroups(unsafe)])];
  }

  /** The origin has done it: a state that can't be written is the operator's trouble, not a failure of the write. */
  async #invalidate(tags: readonly string[]): Promise<void> {
    try {
      await this.#invalidator.invalidate(tags);
    } catch (error) {
      this.#onNotDurable(error);
    }
  }
}
