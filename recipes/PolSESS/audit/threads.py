"""Reads many audio files at once.

Authors
 * The PolSESS recipe team 2026
"""

from concurrent.futures import ThreadPoolExecutor

from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

# Reading waits for the disk most of the time.
THREADS_PER_CPU = 4


def in_threads(function, items, n_jobs, description, chunk_size):
    """Maps with a progress bar; threads, as nothing must be copied to them."""
    n_jobs = n_jobs or THREADS_PER_CPU * get_available_cpu_count()
    with ThreadPoolExecutor(n_jobs) as executor:
        return list(
            parallel_map(
                function,
                items,
                chunk_size=chunk_size,
                executor=executor,
                progress_bar=len(items) > 0,
                progress_bar_kwargs={"desc": description, "smoothing": 0.02},
            )
        )
