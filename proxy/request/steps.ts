/** The steps of a client's request: their order, and what each is given. `machine.ts` takes them. */
import type { FetchedEntry, PassedResult } from '../fetch/fetch-request.ts';
import type { Peer } from '../fetch/peers/peers.ts';
import type { ErrorCode } from '../http/error-responses.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { KeyedContext, RequestContext, RoutedContext } from './context.ts';
import type { ErrorParts } from './error-responses.ts';
import type { FetchReason } from './fetch-requests.ts';
import type { SentInstead } from './handlers/write-through.ts';

/** Every step with those that may follow it. A step without followers responds, or hands the request to a handler for good. */
export const STEPS = {
  arrive: ['purge', 'route'],
  route: [
    'refuse', // ambiguous, looping, no route, or another method
    'final-recipient', // OPTIONS *, Max-Forwards: 0
    'webhook',
    'tunnel',
    'pass', // safe methods other than GET and HEAD
    'write', // unsafe methods
    'pending',
    'position',
    'key',
  ],
  // GET and HEAD.
  pending: ['position', 'key'],
  position: ['key', 'pass'],
  key: ['lookup', 'pass'],
  lookup: ['decide', 'ask-peer', 'ask-origin'],
  'ask-peer': ['decide', 'ask-origin'],
  decide: ['serve', 'serve-stale', 'look-further', 'ask-origin', 'private-fetch'],
  'look-further': ['ask-peer', 'decide'],
  serve: ['private-fetch', 'discard'],
  'serve-stale': ['private-fetch', 'discard'],
  'ask-origin': ['fetch', 'private-fetch', 'refuse'],
  fetch: ['serve-fetched', 'relay', 'stand-in', 'private-fetch', 'refuse'],
  'serve-fetched': ['private-fetch', 'discard'],
  'private-fetch': ['stand-in', 'refuse'],
  'stand-in': ['private-fetch', 'discard'],
  discard: ['lookup', 'private-fetch'],
  // Unsafe methods, by the route's write policy.
  write: ['read-content', 'write-behind'],
  'read-content': ['write-around', 'write-through'],
  'write-behind': ['write-through'], // what the journal does not take
  // Ends.
  purge: [],
  webhook: [],
  'final-recipient': [],
  tunnel: [],
  pass: [],
  'write-around': [],
  'write-through': [],
  relay: [],
  refuse: [],
} as const satisfies Record<string, readonly string[]>;

export type StepName = keyof typeof STEPS;

/** What each step is given. */
interface Given {
  readonly purge: { readonly context: RequestContext };
  readonly route: { readonly context: RequestContext };
  readonly 'final-recipient': { readonly context: RequestContext };
  readonly webhook: { readonly context: RequestContext; readonly path: string; readonly maxBytes: number };
  readonly refuse: {
    readonly context: RequestContext | RoutedContext;
    readonly code: ErrorCode;
    readonly parts?: ErrorParts;
  };
  readonly tunnel: { readonly context: RoutedContext };
  readonly write: { readonly context: RoutedContext };
  readonly 'read-content': { readonly context: RoutedContext; readonly policy: 'around' | 'through' };
  readonly 'write-around': { readonly context: RoutedContext; readonly sent: SentInstead };
  readonly 'write-through': {
    readonly context: RoutedContext;
    readonly reason: string;
    readonly sent: SentInstead;
  };
  readonly 'write-behind': { readonly context: RoutedContext };
  readonly pass: { readonly context: RoutedContext; readonly reason: string };
  readonly pending: { readonly context: RoutedContext };
  readonly position: { readonly context: RoutedContext };
  readonly key: { readonly context: RoutedContext };
  readonly lookup: { readonly context: KeyedContext };
  readonly 'ask-peer': {
    readonly context: KeyedContext;
    readonly peer: Peer;
    /** Taken where the peer has nothing. */
    readonly otherwise: Next<'ask-peer'>;
  };
  readonly decide: {
    readonly context: KeyedContext;
    readonly entry: StoredEntry;
    /** Whether the disk and other workers' memory were searched for later copies. */
    readonly isLatest: boolean;
  };
  readonly 'look-further': { readonly context: KeyedContext; readonly entry: StoredEntry };
  readonly serve: {
    readonly context: KeyedContext;
    readonly entry: StoredEntry;
    readonly ttlSeconds: number;
  };
  readonly 'serve-stale': {
    readonly context: KeyedContext;
    readonly entry: StoredEntry;
    readonly ttlSeconds: number;
    readonly refresh: boolean;
    readonly reason: string;
  };
  readonly 'ask-origin': { readonly context: KeyedContext; readonly why: FetchReason };
  readonly fetch: { readonly context: KeyedContext; readonly why: FetchReason };
  readonly 'serve-fetched': {
    readonly context: KeyedContext;
    readonly why: FetchReason;
    readonly fetched: FetchedEntry;
  };
  readonly relay: {
    readonly context: KeyedContext;
    readonly why: FetchReason;
    readonly passed: PassedResult;
  };
  readonly 'private-fetch': {
    readonly context: KeyedContext;
    readonly why: FetchReason;
    readonly reason: string;
  };
  readonly 'stand-in': { readonly context: KeyedContext; readonly why: FetchReason };
  readonly discard: {
    readonly context: KeyedContext;
    readonly entry: StoredEntry;
    /** Taken once no worker finds the entry. */
    readonly afterwards: Next<'discard'>;
  };
}

export type Step = { [Name in keyof Given]: { readonly to: Name } & Given[Name] }[keyof Given];

/** What a step may return: a step that the list allows, or null. */
export type Next<From extends StepName> = Extract<Step, { readonly to: (typeof STEPS)[From][number] }> | null;
