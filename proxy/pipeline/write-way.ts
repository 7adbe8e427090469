import type { WriteDesk } from '../writes/write-desk.ts';
import { ThroughWay, type ThroughWayDependencies, routeTags } from '../writes/through-way.ts';
import { BehindWay } from '../writes/behind-way.ts';
import { mayHaveWrites } from '../writes/pending-way.ts';
import { writtenTags } from '../writes/written-tags.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { originForm } from './pass-way.ts';
import type { RoutedVisit } from './visit.ts';

/** The door of the fence, from a worker. */
export interface Invalidator {
  /** Resolves when the tags are invalid for every worker and that is synced; rejects where it can't be synced. */
  invalidate(tags: readonly string[]): Promise<void>;
}

export interface WriteWayDependencies extends ThroughWayDependencies {
  readonly desk: WriteDesk;
  readonly fence: FenceReader;
  readonly invalidator: Invalidator;
  onNotDurable(error: unknown): void;
}

/** Unsafe requests, by the write policy of their route. */
export class WriteWay {
  readonly #deps: WriteWayDependencies;
  readonly #through: ThroughWay;
  readonly #behind: BehindWay;

  constructor(deps: WriteWayDependencies) {
    this.#deps = deps;
    this.#through = new ThroughWay(deps);
    this.#behind = new BehindWay({ ...deps, through: this.#through });
  }

  enter(visit: RoutedVisit): void {
    const { policy } = visit.route.config.write;
    switch (policy) {
      case 'around':
        // Order holds across policies: what waits in the journal for this URL goes first.
        if (mayHaveWrites(visit, this.#deps.fence)) this.#through.enter(visit, policy);
        else this.#around(visit);
        return;
      case 'through':
        this.#through.enter(visit, policy);
        return;
      case 'behind':
        this.#behind.enter(visit);
        return;
      default:
        policy satisfies never;
    }
  }

  /** Passed on; what RFC 9111 §4.4 and the route name is invalid before the client hears of the success. */
  #around(visit: RoutedVisit): void {
    this.#deps.passWay.enter(visit, 'around', {
      outcome: 'write',
      forward: 'method',
      // What the origin has done is to be invalid though nobody hears of it.
      outlivesClient: true,
      onHead: async (status, fields) => {
        const tags = tagsOf(visit, status, fields);
        if (tags.length > 0) await this.#invalidate(tags);
        return this.#deps.positions.ofWrite(visit, status, fields);
      },
      // Nobody knows whether it was done: one revalidation too many is better than one too few.
      onSettled: (settled) => {
        const isUnknown = typeof settled === 'object' && settled.maybeProcessed;
        if (isUnknown) void this.#invalidate(tagsOf(visit, 200, []));
      },
    });
  }

  /** The origin has done it: a state that can't be written is the operator's trouble, not a failure of the write. */
  async #invalidate(tags: readonly string[]): Promise<void> {
    try {
      await this.#deps.invalidator.invalidate(tags);
    } catch (error) {
      this.#deps.onNotDurable(error);
    }
  }
}

function tagsOf(visit: RoutedVisit, status: number, fields: Fields): string[] {
  const { exchange, site, route } = visit;
  const target = originForm(visit.path, visit.query);
  const write = { ...visit, method: exchange.method, target };
  const tags = writtenTags(site.config, route.originConfig, write, { status, fields });
  const isSuccess = status >= 200 && status < 400;
  return isSuccess ? [...new Set([...tags, ...routeTags(visit)])] : tags;
}
