/** Top left corner of a tile, in latent pixels. */
export interface TileOrigin {
  readonly top: number;
  readonly left: number;
}

/** Tiles of one size that cover an image, overlapping; in latent pixels. */
export interface TilePlan {
  readonly height: number;
  readonly width: number;
  readonly origins: readonly TileOrigin[];
}

interface Extent {
  readonly height: number;
  readonly width: number;
}

/** Covers `image` with tiles of at most `tileSize`, overlapping by at least a quarter of it. */
export function planTiles(image: Extent, tileSize: number): TilePlan {
  const tops = starts(image.height, tileSize);
  const lefts = starts(image.width, tileSize);
  return {
    height: Math.min(image.height, tileSize),
    width: Math.min(image.width, tileSize),
    origins: tops.flatMap((top) => lefts.map((left) => ({ top, left }))),
  };
}

/** Evenly spread first positions, so that no tile is mostly overlap. */
function starts(extent: number, tile: number): number[] {
  if (extent <= tile) return [0];
  const stride = Math.floor(tile * 0.75);
  const count = Math.ceil((extent - tile) / stride) + 1;
  return Array.from({ length: count }, (_, i) => Math.round(((extent - tile) * i) / (count - 1)));
}

/**
 * Puts decoded tiles together, one at a time: every pixel is the average of the tiles over it,
 * weighted by the distance to the tile's edge, so that seams fade over the whole overlap.
 */
export class TileBlender {
  readonly #scale: number;
  readonly #channels: number;
  readonly #width: number;
  readonly #tile: Extent;
  readonly #sum: Float32Array;
  readonly #weight: Float32Array;

  /** `scale`: pixels for each latent pixel. */
  constructor(plan: TilePlan, image: Extent, scale: number, channels: number) {
    this.#scale = scale;
    this.#channels = channels;
    this.#width = image.width * scale;
    this.#tile = { height: plan.height * scale, width: plan.width * scale };
    this.#weight = new Float32Array(image.height * scale * this.#width);
    this.#sum = new Float32Array(this.#weight.length * channels);
  }

  /** Adds the pixels of the tile at `origin`, channels-last. */
  add(pixels: Float32Array, { top, left }: TileOrigin): void {
    const { height, width } = this.#tile;
    const channels = this.#channels;
    for (let y = 0; y < height; y++) {
      const row = (top * this.#scale + y) * this.#width + left * this.#scale;
      for (let x = 0; x < width; x++) {
        const share = edgeDistance(y, height) * edgeDistance(x, width);
        this.#weight[row + x] += share;
        for (let channel = 0; channel < channels; channel++) {
          const value = pixels[(y * width + x) * channels + channel];
          this.#sum[(row + x) * channels + channel] += share * value;
        }
      }
    }
  }

  /** The image, once every tile is there. */
  finish(): Float32Array {
    const channels = this.#channels;
    for (let i = 0; i < this.#sum.length; i++) {
      this.#sum[i] /= this.#weight[Math.floor(i / channels)];
    }
    return this.#sum;
  }
}

/** From 1 at the edges. */
function edgeDistance(position: number, extent: number): number {
  return Math.min(position, extent - 1 - position) + 1;
}
