import type { ChangeEvent, FeedEvent } from '../feed.ts';
import type { HeadProver } from './head-prover.ts';
import { decideHistory, decideMark, type KnownHistory, type Shown } from './history.ts';
import { formatPosition, type Commit } from './position.ts';
import type { ReplicationItem } from './replication-stream.ts';
import type { ReplicationStanding, Start } from './server.ts';
import type { PostgresTransaction } from './transactions.ts';

export interface StreamEventsOptions {
  readonly standing: ReplicationStanding;
  readonly start: Start;
  /** The maximum of log that the slot may retain because of the last seen commit. */
  readonly markAfterBytes: number;
  /** The longest time without an event while the stream is busy. */
  readonly quietMs: number;
  readonly nowMs: number;
}

/** The events of one stream's items, how far they have been yielded, and whether the log is the known one. */
export class StreamEvents {
  readonly #standing: ReplicationStanding;
  readonly #markAfterBytes: number;
  readonly #quietMs: number;
  /**
   * Why the feed begins with a gap, which is yielded with the first seen commit; null: it was yielded, or none is
   * needed.
   */
  #gapReason: string | null = null;
  /** The history of the position; null: none, or it is of another log. */
  #known: KnownHistory | null = null;
  #reachedLsn: bigint;
  #last: { readonly commit: Commit; readonly bytes: number } | null = null;
  /** The LSN of the last change event, which becomes durable at once; that of a head may not. */
  #movedLsn: bigint;
  #movedCommit: Commit | null = null;
  #yieldedAtMs: number;

  constructor({ standing, start, markAfterBytes, quietMs, nowMs }: StreamEventsOptions) {
    this.#standing = standing;
    this.#markAfterBytes = markAfterBytes;
    this.#quietMs = quietMs;
    this.#yieldedAtMs = nowMs;
    this.#reachedLsn = start.kind === 'resume' ? start.lsn : standing.insertLsn;
    this.#movedLsn = this.#reachedLsn;
    if (start.kind === 'gap') {
      this.#gapReason = start.reason;
      return;
    }
    this.#known = { lastCommit: start.commit, lsn: start.lsn, isProved: false };
    // Its size is unknown: a mark after it is left as for a small transaction.
    this.#last = { commit: start.commit, bytes: 0 };
    this.#movedCommit = start.commit;
  }

  get #position(): string {
    return formatPosition({ ...this.#standing, lsn: this.#reachedLsn, commit: this.#last?.commit ?? null });
  }

  /** Whether to leave a mark in a log that ends there. `markLsn`: the last mark; null: none yet. */
  isMarkDue(endLsn: bigint, markLsn: bigint | null): boolean {
    return decideMark(this.#last, { endLsn, markLsn }, this.#markAfterBytes);
  }

  eventsOf(item: ReplicationItem, prover: HeadProver, nowMs: number): FeedEvent[] {
    const events = this.#eventsOf(item, prover, nowMs - this.#yieldedAtMs >= this.#quietMs);
    if (events.length > 0) this.#yieldedAtMs = nowMs;
    return events;
  }

  /**
   * `isQuiet`: the server is busy with something that yields no event, which must not look like a dead connection.
   */
  #eventsOf(item: ReplicationItem, prover: HeadProver, isQuiet: boolean): FeedEvent[] {
    const verdict = this.#verdictOn(shownBy(item));
    switch (verdict) {
      case 'same': {
        const event = this.#eventOf(item, prover) ?? (isQuiet ? this.#move({ changes: [] }) : null);
        return event === null ? [] : [event];
      }
      case 'proved':
        this.#known = { ...this.#known!, isProved: true };
        // It was yielded before.
        return [];
      case 'other':
        this.#known = null;
        this.#last = null;
        this.#gapReason =
          'the log is not the one that was followed: the server was restored to an older state';
        return this.#begin(item, prover, isQuiet);
      case 'unknown':
        return this.#begin(item, prover, isQuiet);
      default:
        return verdict satisfies never;
    }
  }

  #verdictOn(shown: Shown | null): ReturnType<typeof decideHistory> {
    if (this.#gapReason !== null) return 'unknown';
    return this.#known === null ? 'same' : decideHistory(this.#known, shown);
  }

  /** Yields nothing before the gap, and the gap only with a commit by which the log can be recognised later. */
  #begin(item: ReplicationItem, prover: HeadProver, isQuiet: boolean): FeedEvent[] {
    if (this.#gapReason !== null && item.kind === 'transaction') {
      const { commit, bytes } = item.transaction;
      this.#reachedLsn = commit.endLsn;
      this.#last = { commit, bytes };
      this.#moved();
      const gap: FeedEvent = { kind: 'gap', reason: this.#gapReason, position: this.#position };
      this.#gapReason = null;
      const event = this.#eventOf(item, prover);
      return event === null ? [gap] : [gap, event];
    }
    // The next keepalive has to prove the head again.
    if (item.kind === 'keepalive') prover.answer(null);
    return isQuiet ? [{ kind: 'behind', events: 1 }] : [];
  }

  #eventOf(item: ReplicationItem, prover: HeadProver): FeedEvent | null {
    switch (item.kind) {
      case 'transaction':
        return this.#transactionEvent(item.transaction);
      case 'keepalive':
        return this.#keepaliveEvent(item, prover);
      case 'underway':
        return null;
      default:
        return item satisfies never;
    }
  }

  #transactionEvent(transaction: PostgresTransaction): FeedEvent | null {
    const { commit, bytes } = transaction;
    this.#reach(commit.endLsn);
    this.#last = { commit, bytes };
    if (transaction.kind === 'changes') {
      const { changes, committedAtMs } = transaction;
      // The commit is a mark or changed only unpublished tables.
      if (changes.length === 0) return this.#isCommitDue(commit) ? this.#move({ changes }) : null;
      return this.#move({ changes, committedAtMs });
    }
    this.#moved();
    return { kind: 'unintelligible', position: this.#position, reason: transaction.reason };
  }

  /** Whether the slot retains too much until this commit is in a durable position. */
  #isCommitDue({ beginLsn }: Commit): boolean {
    const moved = this.#movedCommit;
    return moved === null || beginLsn - moved.beginLsn > BigInt(this.#markAfterBytes);
  }

  #keepaliveEvent(
    item: Extract<ReplicationItem, { kind: 'keepalive' }>,
    prover: HeadProver,
  ): FeedEvent | null {
    if (item.isBetween) this.#reach(item.walEnd);
    const askedAtMonotonicMs = prover.answer(item.isBetween ? item.walEnd : null);
    if (askedAtMonotonicMs !== null) return { kind: 'head', position: this.#position, askedAtMonotonicMs };
    // A server that shuts down waits until everything it has sent is confirmed.
    return item.asksForReply && this.#reachedLsn > this.#movedLsn ? this.#move({ changes: [] }) : null;
  }

  #move(changes: Pick<ChangeEvent, 'changes' | 'committedAtMs'>): FeedEvent {
    this.#moved();
    return { kind: 'change', position: this.#position, ...changes };
  }

  #moved(): void {
    this.#movedLsn = this.#reachedLsn;
    this.#movedCommit = this.#last?.commit ?? null;
  }

  #reach(lsn: bigint): void {
    if (lsn > this.#reachedLsn) this.#reachedLsn = lsn;
  }
}

/** Null: nothing yet. */
function shownBy(item: ReplicationItem): Shown | null {
  if (item.kind === 'transaction') return { kind: 'commit', commit: item.transaction.commit };
  return item.kind === 'keepalive' && item.isBetween ? { kind: 'reached', lsn: item.walEnd } : null;
}
