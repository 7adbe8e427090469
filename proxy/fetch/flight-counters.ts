import type { OriginFetchCounters } from './fetch-context.ts';

export interface FlightCounters extends OriginFetchCounters {
  /** Flights that asked the origin. */
  asked: number;
  /** Waiters that received the response to another waiter's request. */
  collapsed: number;
  /** Waiters that moved to a later flight because of an invalidation before they arrived. */
  superseded: number;
  /** Flights that no other request could join, because responses were private to one client. */
  alone: number;
  /** Requests that were answered with the origin's failure at another request. */
  failing: number;
  refused: number;
}

export function newFlightCounters(): FlightCounters {
  return {
    asked: 0,
    collapsed: 0,
    superseded: 0,
    alone: 0,
    failing: 0,
    refused: 0,
    tagsLeftOut: 0,
    conditionsRefused: 0,
  };
}
