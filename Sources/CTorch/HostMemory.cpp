#include "Shim.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <set>

namespace ctorch {

namespace {

// A stretch of a segment: taken or free. Its memory begins behind this header, aligned as libtorch wants it.
struct alignas(64) Block {
  size_t size;              // header included; 0 for memory of malloc's
  Block *previous, *next;   // in the segment; null at its ends
  bool is_free;
};
static_assert(sizeof(Block) == 64);

constexpr size_t header = sizeof(Block), huge_page = size_t{2} << 20;
constexpr size_t granule = size_t{16} << 10;
// Requests below this are malloc's; segments are no smaller than the other.
constexpr size_t least = size_t{256} << 10, least_segment = size_t{32} << 20;

size_t rounded_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// Keeps freed memory for the next request, so that a training step finds the pages of the one before: fresh ones
// cost a fault and a clearing each. Whole segments come from the system in huge pages and are cut to measure (best
// fit); neighbours that are free are joined again.
class HostMemory final : public c10::Allocator {
public:
  c10::DataPtr allocate(size_t bytes) override {
    void *memory = bytes < least ? take_small(bytes) : take(bytes);
    return {memory, memory, give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return give_back; }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  void release() {
    std::lock_guard<std::mutex> guard(lock_);
    release_free_segments();
  }

  void figures(size_t *used, size_t *kept) {
    std::lock_guard<std::mutex> guard(lock_);
    *used = used_;
    *kept = kept_;
  }

  static HostMemory &shared() {
    static auto *memory = new HostMemory;  // never freed: tensors may outlive every static object
    return *memory;
  }

private:
  struct Smaller {
    bool operator()(const Block *a, const Block *b) const { return a->size != b->size ? a->size < b->size : a < b; }
  };

  std::mutex lock_;
  std::set<Block *, Smaller> free_;
  size_t used_ = 0, kept_ = 0;

  static void *take_small(size_t bytes) {
    auto *block = static_cast<Block *>(c10::alloc_cpu(bytes + header));
    block->size = 0;
    return reinterpret_cast<char *>(block) + header;
  }

  void *take(size_t bytes) {
    const size_t size = rounded_up(bytes + header, granule);
    TORCH_CHECK(size > bytes, "can't allocate memory: you tried to allocate ", bytes, " bytes");
    std::lock_guard<std::mutex> guard(lock_);
    Block wanted{size, nullptr, nullptr, true};
    auto found = free_.lower_bound(&wanted);
    // Of two equal sizes `wanted` may come after one, by its address.
    if (found != free_.begin() && (*std::prev(found))->size == size) --found;
    Block *block = found != free_.end() ? *found : new_segment(size);
    free_.erase(block);
    kept_ -= block->size;
    if (block->size - size >= granule) split(block, size);
    block->is_free = false;
    used_ += block->size;
    return reinterpret_cast<char *>(block) + header;
  }

  static void give_back(void *memory) {
    if (!memory) return;
    auto *block = reinterpret_cast<Block *>(static_cast<char *>(memory) - header);
    if (block->size == 0) c10::free_cpu(block);
    else shared().give(block);
  }

  void give(Block *block) {
    std::lock_guard<std::mutex> guard(lock_);
    used_ -= block->size;
    kept_ += block->size;
    block->is_free = true;
    if (block->next && block->next->is_free) join(block);
    if (block->previous && block->previous->is_free) {
      block = block->previous;
      free_.erase(block);
      join_unlisted(block);
    }
    free_.insert(block);
  }

  // The rest becomes a free block of its own.
  void split(Block *block, size_t size) {
    auto *rest = reinterpret_cast<Block *>(reinterpret_cast<char *>(block) + size);
    *rest = {block->size - size, block, block->next, true};
    if (rest->next) rest->next->previous = rest;
    block->next = rest;
    block->size = size;
    kept_ += rest->size;
    free_.insert(rest);
  }

  void join(Block *block) {
    free_.erase(block->next);
    join_unlisted(block);
  }

  void join_unlisted(Block *block) {
    Block *next = block->next;
    block->size += next->size;
    block->next = next->next;
    if (block->next) block->next->previous = block;
  }

  Block *new_segment(size_t size) {
    // What is kept but fits nothing must not pile up beside what is used.
    if (kept_ > used_ / 2) release_free_segments();
    const size_t bytes = rounded_up(std::max(size, least_segment), huge_page);
    void *memory = mapped(bytes);
    if (!memory) {
      release_free_segments();
      memory = mapped(bytes);
    }
    TORCH_CHECK(memory, "can't allocate memory: you tried to allocate ", size, " bytes");
    auto *block = static_cast<Block *>(memory);
    *block = {bytes, nullptr, nullptr, true};
    kept_ += bytes;
    free_.insert(block);
    return block;
  }

  // Aligned to huge pages, or null.
  static void *mapped(size_t bytes) {
    void *start = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return nullptr;
    auto address = reinterpret_cast<uintptr_t>(start), aligned = rounded_up(address, huge_page);
    if (aligned > address) munmap(start, aligned - address);
    const size_t behind = address + huge_page - aligned;
    if (behind > 0) munmap(reinterpret_cast<void *>(aligned + bytes), behind);
    madvise(reinterpret_cast<void *>(aligned), bytes, MADV_HUGEPAGE);  // advice: nothing is lost without it
    return reinterpret_cast<void *>(aligned);
  }

  void release_free_segments() {
    for (auto place = free_.begin(); place != free_.end();) {
      Block *block = *place;
      if (block->previous || block->next) {
        ++place;
        continue;
      }
      place = free_.erase(place);
      kept_ -= block->size;
      munmap(block, block->size);
    }
  }
};

}  // namespace

void keep_host_memory() { c10::SetCPUAllocator(&HostMemory::shared(), /*priority=*/1); }

}  // namespace ctorch

void ct_release_host_memory(void) { ctorch::HostMemory::shared().release(); }

void ct_host_memory(size_t *used, size_t *kept) { ctorch::HostMemory::shared().figures(used, kept); }
