import { meanPsnr, type PairedQuality } from '../pipelines/evaluation/sweep-measures.ts';
import type { Sweep } from '../pipelines/evaluation/sweep-request.ts';
import { frechetOf, type SweepRow } from '../pipelines/evaluation/sweep-rows.ts';
import { formatSchedule } from '../quantization/precision-schedule.ts';
import { formatTable } from './output.ts';

export interface SweepTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Which columns are numbers. */
  readonly isNumber: readonly boolean[];
}

interface Column {
  readonly title: string;
  readonly isNumber?: true;
  readonly of: (row: SweepRow) => string;
}

/** A row of each setting; columns that say nothing are left out. */
export function sweepTable({ rows }: Sweep): SweepTable {
  const most = Math.max(...rows.map(({ steps }) => steps));
  const hasSteps = rows.some(({ steps }) => steps !== most);
  const hasReference = rows.some((row) => frechetOf(row) !== undefined);
  const columns: Column[] = [
    { title: 'steps', isNumber: true, of: ({ steps }) => String(steps) },
    { title: 'setting', of: ({ name }) => name },
    { title: 's/image', isNumber: true, of: ({ seconds }) => seconds.median.toFixed(2) },
    { title: '95%', of: ({ seconds: { low, high } }) => `${low.toFixed(2)}…${high.toFixed(2)}` },
    {
      title: hasSteps ? 'dB to fp32, as many steps' : 'dB to fp32',
      isNumber: true,
      of: ({ toSame }) => decibels(toSame),
    },
    { title: '± 95%', isNumber: true, of: ({ toSame }) => half(toSame.psnr?.halfWidth) },
    ...(hasSteps
      ? ([
          {
            title: `dB to fp32, ${most} steps`,
            isNumber: true,
            of: ({ toMost }: SweepRow) => decibels(toMost),
          },
          {
            title: '± 95%',
            isNumber: true,
            of: ({ toMost }: SweepRow) => half(toMost.psnr?.halfWidth),
          },
        ] as const)
      : []),
    ...(hasReference
      ? ([
          {
            title: 'Fréchet distance',
            isNumber: true,
            of: (row: SweepRow) => frechetOf(row)?.toFixed(2) ?? '',
          },
        ] as const)
      : []),
    { title: 'optimal', of: (row) => optimalBy(row, hasSteps, most) },
    { title: '', of: ({ recommended }) => (recommended ? 'recommended' : '') },
    { title: 'precision by step', of: ({ schedule }) => formatSchedule(schedule) },
  ];
  return {
    header: columns.map(({ title }) => title),
    rows: rows.map((row) => columns.map(({ of }) => of(row))),
    isNumber: columns.map((column) => column.isNumber ?? false),
  };
}

/** The table of a terminal. */
export function formatSweep(found: Sweep): string {
  const { header, rows, isNumber } = sweepTable(found);
  return formatTable(header, rows, isNumber);
}

/** In which comparisons no other setting is as fast and as good. */
function optimalBy({ steps, optimal }: SweepRow, hasSteps: boolean, most: number): string {
  const found: string[] = [];
  if (optimal.same) found.push(hasSteps ? `at ${steps} steps` : 'yes');
  if (hasSteps && optimal.most) found.push(`to ${most} steps`);
  if (optimal.frechet) found.push('to the reference');
  return found.join(', ');
}

function decibels(quality: PairedQuality): string {
  const psnr = meanPsnr(quality);
  return Number.isFinite(psnr) ? psnr.toFixed(2) : 'equal';
}

function half(width: number | undefined): string {
  return width === undefined || Number.isNaN(width) ? '' : width.toFixed(2);
}
