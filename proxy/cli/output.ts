/** Where a command writes: standard output or standard error, or what a test collects. */
export interface Output {
  write(text: string): unknown;
}
