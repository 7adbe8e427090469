/** The output of a command: standard output, standard error, or a buffer in tests. */
export interface Output {
  write(text: string): unknown;
}
