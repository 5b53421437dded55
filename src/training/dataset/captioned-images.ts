/** Images with captions, wherever they are kept, in an order that depends on their content alone. */
export interface CaptionedImages {
  /** At least 1. */
  readonly count: number;
  /** Hash of all images and captions. */
  readonly identity: string;
  /** Without white space at its ends; may be empty. */
  caption(index: number): string;
  /** What tells the content of an image file from that of every other. */
  contentHash(index: number): string;
  /**
   * The content of an image file: PNG, JPEG or WebP.
   *
   * @throws BookendError `not-found`, `io`; `invalid-argument` where it is not what it was
   */
  read(index: number): Promise<Uint8Array>;
  /** What to call an image in messages. */
  nameOf(index: number): string;
  close(): Promise<void>;
}
