import type { ChangeEvent, FeedEvent } from '../feed.ts';
import type { HeadQuestion } from './head-question.ts';
import { decideHistory, decideMark, type KnownHistory, type Shown } from './history.ts';
import { formatPosition, type Commit } from './position.ts';
import type { ReplicationItem } from './replication-stream.ts';
import type { ReplicationStanding, Start } from './server.ts';
import type { PostgresTransaction } from './transactions.ts';

export interface TellingOptions {
  readonly standing: ReplicationStanding;
  readonly start: Start;
  /** How much of the log the slot may keep for the sake of the last commit that was seen. */
  readonly markAfterBytes: number;
  /** How long nothing may be told while the stream is busy. */
  readonly quietMs: number;
  readonly nowMs: number;
}

/** What one stream's items tell, up to which place everything was told, and whether the log is the one that we know. */
export class Telling {
  readonly #standing: ReplicationStanding;
  readonly #markAfterBytes: number;
  readonly #quietMs: number;
  /** Why it begins anew, which is told with the first commit that is seen; null: it was told, or there is no need. */
  #gapReason: string | null = null;
  /** The history that the position was taken from; null: none, or another. */
  #known: KnownHistory | null = null;
  #reachedLsn: bigint;
  #last: { readonly commit: Commit; readonly bytes: number } | null = null;
  /** As last told by a change, whose place becomes durable at once; a head's need not. */
  #movedLsn: bigint;
  #movedCommit: Commit | null = null;
  #toldAtMs: number;

  constructor({ standing, start, markAfterBytes, quietMs, nowMs }: TellingOptions) {
    this.#standing = standing;
    this.#markAfterBytes = markAfterBytes;
    this.#quietMs = quietMs;
    this.#toldAtMs = nowMs;
    this.#reachedLsn = start.kind === 'resume' ? start.lsn : standing.insertLsn;
    this.#movedLsn = this.#reachedLsn;
    if (start.kind === 'gap') {
      this.#gapReason = start.reason;
      return;
    }
    this.#known = { lastCommit: start.commit, lsn: start.lsn, isProved: false };
    // How large it is was not kept: a mark behind it is left as if it were small.
    this.#last = { commit: start.commit, bytes: 0 };
    this.#movedCommit = start.commit;
  }

  get #position(): string {
    return formatPosition({ ...this.#standing, lsn: this.#reachedLsn, commit: this.#last?.commit ?? null });
  }

  /** Of a log that ends there; `markLsn`: where a mark was last left in it. */
  isMarkDue(endLsn: bigint, markLsn: bigint | null): boolean {
    return decideMark(this.#last, { endLsn, markLsn }, this.#markAfterBytes);
  }

  eventsOf(item: ReplicationItem, question: HeadQuestion, nowMs: number): FeedEvent[] {
    const events = this.#eventsOf(item, question, nowMs - this.#toldAtMs >= this.#quietMs);
    if (events.length > 0) this.#toldAtMs = nowMs;
    return events;
  }

  /** `isQuiet`: work upstream that tells nothing must not look like a dead connection. */
  #eventsOf(item: ReplicationItem, question: HeadQuestion, isQuiet: boolean): FeedEvent[] {
    switch (this.#verdictOn(shownBy(item))) {
      case 'same': {
        const event = this.#tell(item, question) ?? (isQuiet ? this.#move({ changes: [] }) : null);
        return event === null ? [] : [event];
      }
      case 'proved':
        this.#known = { ...this.#known!, isProved: true };
        // It was told before.
        return [];
      case 'other':
        this.#known = null;
        this.#last = null;
        this.#gapReason =
          'the log is not the one that was followed: the server was restored to an older state';
        return this.#begin(item, question, isQuiet);
      case 'unknown':
        return this.#begin(item, question, isQuiet);
    }
  }

  #verdictOn(shown: Shown | null): ReturnType<typeof decideHistory> {
    if (this.#gapReason !== null) return 'unknown';
    return this.#known === null ? 'same' : decideHistory(this.#known, shown);
  }

  /** Nothing is told before the gap, nor the gap before a commit by which its place is known again. */
  #begin(item: ReplicationItem, question: HeadQuestion, isQuiet: boolean): FeedEvent[] {
    if (this.#gapReason !== null && item.kind === 'transaction') {
      const { commit, bytes } = item.transaction;
      this.#reachedLsn = commit.endLsn;
      this.#last = { commit, bytes };
      this.#moved();
      const gap: FeedEvent = { kind: 'gap', reason: this.#gapReason, position: this.#position };
      this.#gapReason = null;
      const event = this.#tell(item, question);
      return event === null ? [gap] : [gap, event];
    }
    // It has still to be answered once more.
    if (item.kind === 'keepalive') question.answer(null);
    return isQuiet ? [{ kind: 'behind', events: 1 }] : [];
  }

  #tell(item: ReplicationItem, question: HeadQuestion): FeedEvent | null {
    switch (item.kind) {
      case 'transaction':
        return this.#tellTransaction(item.transaction);
      case 'keepalive':
        return this.#tellKeepalive(item, question);
      case 'underway':
        return null;
      default:
        return item satisfies never;
    }
  }

  #tellTransaction(transaction: PostgresTransaction): FeedEvent | null {
    const { commit, bytes } = transaction;
    this.#reach(commit.endLsn);
    this.#last = { commit, bytes };
    if (transaction.kind === 'changes') {
      const { changes, committedAtMs } = transaction;
      // Of tables that are not published, or a mark.
      if (changes.length === 0) return this.#isCommitDue(commit) ? this.#move({ changes }) : null;
      return this.#move({ changes, committedAtMs });
    }
    this.#moved();
    return { kind: 'unintelligible', position: this.#position, reason: transaction.reason };
  }

  /** Whether the slot keeps too much until this commit stands in a position that is durable. */
  #isCommitDue({ beginLsn }: Commit): boolean {
    const moved = this.#movedCommit;
    return moved === null || beginLsn - moved.beginLsn > BigInt(this.#markAfterBytes);
  }

  #tellKeepalive(
    item: Extract<ReplicationItem, { kind: 'keepalive' }>,
    question: HeadQuestion,
  ): FeedEvent | null {
    if (item.isBetween) this.#reach(item.walEnd);
    const askedAtMonotonicMs = question.answer(item.isBetween ? item.walEnd : null);
    if (askedAtMonotonicMs !== null) return { kind: 'head', position: this.#position, askedAtMonotonicMs };
    // A server that stops waits until everything it has sent is confirmed.
    return item.asksForReply && this.#reachedLsn > this.#movedLsn ? this.#move({ changes: [] }) : null;
  }

  #move(told: Pick<ChangeEvent, 'changes' | 'committedAtMs'>): FeedEvent {
    this.#moved();
    return { kind: 'change', position: this.#position, ...told };
  }

  #moved(): void {
    this.#movedLsn = this.#reachedLsn;
    this.#movedCommit = this.#last?.commit ?? null;
  }

  #reach(lsn: bigint): void {
    if (lsn > this.#reachedLsn) this.#reachedLsn = lsn;
  }
}

/** null: nothing yet. */
function shownBy(item: ReplicationItem): Shown | null {
  if (item.kind === 'transaction') return { kind: 'commit', commit: item.transaction.commit };
  return item.kind === 'keepalive' && item.isBetween ? { kind: 'reached', lsn: item.walEnd } : null;
}
