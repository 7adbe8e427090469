/** What the disk tier reports to the log while it runs. */
export type DiskEvent =
  /** No new entries are stored, for now or until the next start. Stored ones are served. */
  | { readonly kind: 'storing-stopped'; readonly reason: string; readonly untilRestart: boolean }
  | { readonly kind: 'storing-resumed' }
  /** Entries of routes with `evict: last` leave no room for others; new entries are refused. */
  | { readonly kind: 'evict-last-full' }
  | { readonly kind: 'evict-last-room' }
  /**
   * Content of this entry was missing or failed its checksum. The entry is removed, and the next request fetches it.
   */
  | { readonly kind: 'entry-damaged'; readonly id: string };
