/**
 * Two workers, an origin and the fence in one thread, made of Weir's own parts: request machine, tiers, flights, peers.
 * Every event between them (a message, an answer of the origin, a commit) waits until `later` runs it, so that a test
 * decides the order of all events.
 */
import { tagOfName } from '../../policies/tags.ts';
import type { Origin, OriginHandler, OriginRequest } from '../../origin-adapters/origin.ts';
import type { ContentOnDisk, DiskEntry, DiskEntryWriter, DiskTier } from '../../proxy/store/disk-tier.ts';
import {
  createWritesInFlight,
  writesInFlightBuffer,
  type WritesInFlight,
} from '../../proxy/store/disk/writes-in-flight.ts';
import { mergedHead, type EntryHead } from '../../proxy/store/entry-head.ts';
import { isSameVariant } from '../../proxy/store/tiers.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { flightClaimsBuffer } from '../../proxy/fetch/flight-claims.ts';
import { hitForMissBuffer } from '../../proxy/fetch/hit-for-miss.ts';
import type { Mechanisms } from '../../proxy/mechanisms.ts';
import { keyHashOf, type WorkerRuntime } from '../../proxy/runtime/worker-runtime.ts';
import { originKeyOf } from '../../policies/key.ts';
import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { configOf } from '../config/load.ts';
import { setClock } from '../fence/given.ts';
import { Client, configurationSource, connectWorkers, startWorker } from '../support/in-process.ts';
import { MemoryState } from '../support/memory-state.ts';

/** Runs `act` when the test chooses. */
export type Later = (what: string, act: () => void) => void;

const CONFIG = configOf(`
  origins: { shop: { url: "http://shop" } }
  routes: [{ name: all, match: /*, cache: { freshness: headers, client-directives: honor } }]
`);
const WORKERS = 2;
const CLOCK = setClock();

/** A tag that only the response names. */
export const SECRET_TAG = tagOfName('secret');

export class RaceWorld {
  readonly origin: VersionedOrigin;
  /** Responses that were older than an invalidation that was answered before their request began. */
  readonly violations: string[] = [];
  /** Errors that a scheduled act has thrown. */
  readonly errors: unknown[] = [];
  answered = 0;
  readonly #later: Later;
  readonly #mechanisms: Mechanisms;
  readonly #disk = new SharedDisk();
  readonly #known = new Map<string, number>();
  readonly #shown = new Set<string>();
  #run!: Run;
  #state = new MemoryState();
  #boots = 0;

  private constructor(later: Later, mechanisms: Mechanisms) {
    this.#later = (what, act) =>
      later(what, () => {
        try {
          act();
        } catch (error) {
          this.errors.push(error);
        }
      });
    this.#mechanisms = mechanisms;
    this.origin = new VersionedOrigin(this.#later);
  }

  static async begin(later: Later, mechanisms: Mechanisms): Promise<RaceWorld> {
    const world = new RaceWorld(later, mechanisms);
    await world.#boot();
    return world;
  }

  /**
   * Sends a request for a path to a worker. A response that is older than an invalidation answered before is noted as a
   * violation. Resolves with the status.
   */
  get(worker: number, path: string, directives: Fields = []): Promise<number> {
    const known = this.#known.get(path) ?? 0;
    return new Promise((resolve) => {
      const client = new Client(path, { fields: directives }, ({ status, body: content, fields }) => {
        this.answered += 1;
        if (fieldValue(fields, 'surrogate-key')?.includes(ownName(path)) === true) this.#shown.add(path);
        if (status === 200 && !this.origin.wasAfter(path, known, content)) {
          this.violations.push(
            `${path} from worker ${worker}: ${content}, though version ${known} was announced`,
          );
        }
        resolve(status);
      });
      this.#run.workers[worker]!.handle(client.exchange);
    });
  }

  /** From now on the origin adds `ownTag` to its answers for the path. Earlier answers stay valid. */
  retag(path: string): void {
    this.origin.retagged.add(path);
  }

  /** Whether a response for the path has shown that tag to a client. */
  isTagShown(path: string): boolean {
    return this.#shown.has(path);
  }

  /** Changes the origin's content and invalidates the tags. Requests after its answer must see the change. */
  async change(path: string, value: number, tags: readonly string[]): Promise<void> {
    const version = this.origin.change(path, value);
    await this.#run.fence.invalidate({ tags, mode: 'hard' });
    this.#known.set(path, Math.max(version, this.#known.get(path) ?? 0));
  }

  evict(worker: number, path: string): void {
    const { memory } = this.#run.workers[worker]!.tiers;
    const key = `${originKeyOf(CONFIG.origins['shop']!)}\n\n${path}`;
    for (const { head } of memory.get(key)) memory.remove(key, head.id);
  }

  /** Kills the process and starts it again with what was durable in the state and committed to the disk. */
  async crash(): Promise<void> {
    this.#run.isOver = true;
    this.#state = this.#state.crashed();
    await this.#boot();
  }

  async #boot(): Promise<void> {
    const fence = await Fence.open(1_000, {
      state: this.#state,
      clock: CLOCK,
      // Without a random key the same worker owns a path in every run.
      mechanisms: { ...this.#mechanisms, tagKey: false },
      block: 100,
    });
    this.#boots += 1;
    this.#state.beforeCommit = () => new Promise((resolve) => this.#later('commit', resolve));
    const run: Run = { fence, workers: [], isOver: false };
    const here: Later = (what, act) => this.#later(what, () => (run.isOver ? undefined : act()));
    const shared = {
      workers: WORKERS,
      boot: this.#boots,
      configuration: configurationSource(CONFIG),
      fence,
      clock: CLOCK,
      mechanisms: this.#mechanisms,
      origin: this.origin,
      hitForMiss: hitForMissBuffer(),
      writesInFlight: writesInFlightBuffer(),
      flightClaims: flightClaimsBuffer(),
    };
    const keyHash = keyHashOf({ fence: fence.buffer });
    for (let index = 0; index < WORKERS; index += 1) {
      const sent = createWritesInFlight(shared.writesInFlight, index, keyHash);
      const disk = new RaceDisk(this.#disk, sent, here);
      run.workers.push(startWorker({ ...shared, index, disk }));
    }
    connectWorkers(run.workers, () => inOrder('a message arrives', here));
    this.#run = run;
  }
}

interface Run {
  readonly fence: Fence;
  readonly workers: WorkerRuntime[];
  isOver: boolean;
}

/** The name of the tag that `retag` adds to a path. */
function ownName(path: string): string {
  return `of-${path.slice(1)}`;
}

export function ownTag(path: string): string {
  return tagOfName(ownName(path));
}

/** Its content changes. The ETag is the value, and a path may return to an earlier value. */
class VersionedOrigin implements Origin {
  readonly name = 'shop';
  readonly stats = { requests: 0, failures: 0, retries: 0, abandoned: 0, running: 0, queued: 0 };
  confirmed = 0;
  readonly retagged = new Set<string>();
  /** The most concurrent requests for one path. */
  maxRunning = 0;
  readonly #later: Later;
  readonly #values = new Map<string, number[]>();
  readonly #running = new Map<string, number>();

  constructor(later: Later) {
    this.#later = later;
  }

  change(path: string, value: number): number {
    return this.#valuesOf(path).push(value) - 1;
  }

  /** Whether the content was the origin's at that version or a later one. */
  wasAfter(path: string, version: number, content: string): boolean {
    return this.#valuesOf(path)
      .slice(version)
      .some((value) => content === contentOf(path, value));
  }

  send({ path, fields }: OriginRequest, handler: OriginHandler) {
    let isAborted = false;
    const running = (this.#running.get(path) ?? 0) + 1;
    this.#running.set(path, running);
    this.maxRunning = Math.max(this.maxRunning, running);
    const ended = (): void => void this.#running.set(path, this.#running.get(path)! - 1);
    const next = (what: string, act: () => void): void =>
      this.#later(what, () => {
        if (!isAborted) act();
      });
    next('the origin reads', () => {
      const value = this.#valuesOf(path).at(-1)!;
      const isSame = fieldValue(fields, 'if-none-match')?.includes(`"${value}"`) === true;
      const answer: Fields = [
        'Cache-Control',
        'max-age=1000',
        'ETag',
        `"${value}"`,
        'Surrogate-Key',
        this.retagged.has(path) ? `secret ${ownName(path)}` : 'secret',
      ];
      next('the head arrives', () => {
        if (isSame) {
          ended();
          this.confirmed += 1;
          handler.onHead(304, answer);
          handler.onEnd([]);
          return;
        }
        handler.onHead(200, answer);
        next('the content arrives', () => {
          ended();
          handler.onData(Buffer.from(contentOf(path, value)));
          handler.onEnd([]);
        });
      });
    });
    return {
      pause: () => {},
      resume: () => {},
      abort: () => {
        if (!isAborted) ended();
        isAborted = true;
      },
    };
  }

  upgrade(): never {
    throw new Error('no test upgrades');
  }

  async close(): Promise<void> {}

  #valuesOf(path: string): number[] {
    const values = this.#values.get(path) ?? [0];
    this.#values.set(path, values);
    return values;
  }
}

function contentOf(path: string, value: number): string {
  return `${path} is ${value}`;
}

/** The committed entries, which all workers and all runs share. */
class SharedDisk {
  readonly heads = new Map<string, EntryHead>();
  readonly contents = new Map<string, Buffer>();
}

class RaceDisk implements DiskTier {
  readonly #disk: SharedDisk;
  readonly #writesInFlight: WritesInFlight;
  readonly #toWriter: (act: () => void) => void;

  constructor(disk: SharedDisk, writesInFlight: WritesInFlight, later: Later) {
    this.#disk = disk;
    this.#writesInFlight = writesInFlight;
    this.#toWriter = inOrder('the disk writes', later);
  }

  find(key: string): DiskEntry[] {
    return this.heads(key).map((head) => ({ head, content: null }));
  }

  heads(key: string): EntryHead[] {
    return [...this.#disk.heads.values()].filter((head) => head.key === key);
  }

  underWay(): DiskEntry[] {
    return [];
  }

  isUnderWayElsewhere(): boolean {
    return false;
  }

  read({ id }: ContentOnDisk, position: number): Uint8Array | null {
    return this.#disk.contents.get(id)?.subarray(position) ?? null;
  }

  pin(): () => void {
    return () => {};
  }

  begin(id: string): DiskEntryWriter {
    let content = Buffer.alloc(0);
    let listener: (length: number) => void = () => {};
    return {
      append: (bytes) => {
        const chunk = Buffer.from(bytes);
        this.#toWriter(() => {
          content = Buffer.concat([content, chunk]);
          this.#disk.contents.set(id, content);
          listener(content.length);
        });
      },
      onStored: (given) => {
        listener = given;
      },
      commit: (head) => {
        const arrived = this.#writesInFlight.sent(head.key);
        return new Promise((resolve) =>
          this.#toWriter(() => {
            resolve(this.#commit(head));
            arrived();
          }),
        );
      },
      abort: () => this.#toWriter(() => this.#disk.contents.delete(id)),
    };
  }

  update(head: EntryHead): Promise<void> {
    return new Promise((resolve) =>
      this.#toWriter(() => {
        const known = this.#disk.heads.get(head.id);
        if (known !== undefined) this.#disk.heads.set(head.id, mergedHead(known, head));
        resolve();
      }),
    );
  }

  async updateSynced(head: EntryHead): Promise<boolean> {
    await this.update(head);
    return true;
  }

  async remove(key: string, id: string): Promise<boolean> {
    await this.discard(key, id);
    return true;
  }

  discard(_key: string, id: string): Promise<void> {
    return new Promise((resolve) =>
      this.#toWriter(() => {
        this.#disk.heads.delete(id);
        resolve();
      }),
    );
  }

  hide(): void {}

  touch(): void {}

  #commit(head: EntryHead): boolean {
    const same = this.heads(head.key).filter((other) => isSameVariant(other, head));
    if (same.some((other) => other.floor > head.floor)) return false;
    for (const { id } of same) this.#disk.heads.delete(id);
    this.#disk.heads.set(head.id, head);
    return true;
  }
}

/** Runs acts when the test chooses, but in the order in which they were given. */
function inOrder(what: string, later: Later): (act: () => void) => void {
  const queue: (() => void)[] = [];
  return (act) => {
    queue.push(act);
    later(what, () => queue.shift()!());
  };
}
