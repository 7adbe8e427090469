/** What the disk tier has to tell an operator while it runs. */
export type DiskEvent =
  /** Nothing more is stored, for the time being or until the next start; what is there is served. */
  | { readonly kind: 'storing-stopped'; readonly reason: string; readonly untilRestart: boolean }
  | { readonly kind: 'storing-resumed' }
  /** Entries of routes with `evict: last` leave no room for anything; new ones are refused. */
  | { readonly kind: 'evict-last-full' }
  | { readonly kind: 'evict-last-room' }
  /** Content of this entry was missing or failed its checksum; the entry is gone, and the origin is asked for it again. */
  | { readonly kind: 'entry-damaged'; readonly id: string };
