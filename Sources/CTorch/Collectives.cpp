// Collectives over several processes: c10d's Gloo backend for CPU tensors and everything that is agreed on, and
// NCCL for CUDA tensors.
//
// NCCL's C interface is opened at run time, beside libtorch_cuda, so nothing here needs CUDA's headers.

#include "Shim.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Logging.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

// The wheel's headers need Gloo's, which it does not bring.
#if __has_include(<gloo/algorithm.h>)
#define VLSA_GLOO
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

using namespace ctorch;

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The functions of nccl.h that are used, with its own types: stable since NCCL 2.10, which brought bf16.
struct NCCL {
  struct UniqueID {
    char bytes[128];
  };
  using Communicator = struct ncclComm *;
  using Stream = struct CUstream_st *;
  enum Type { int8 = 0, uint8 = 1, int32 = 2, int64 = 4, float16 = 6, float32 = 7, float64 = 8, bfloat16 = 9 };
  enum { success = 0, in_progress = 7, sum = 0 };

  int (*version)(int *);
  const char *(*message)(int);
  int (*unique_id)(UniqueID *);
  int (*open)(Communicator *, int size, UniqueID, int rank);
  int (*abort)(Communicator);
  int (*state)(Communicator, int *);
  int (*all_reduce)(const void *, void *, size_t, int type, int operation, Communicator, Stream);
  int (*reduce_scatter)(const void *, void *, size_t, int type, int operation, Communicator, Stream);
  int (*all_gather)(const void *, void *, size_t, int type, Communicator, Stream);

  void check(int code, const char *what) const {
    TORCH_CHECK(code == success, "NCCL: ", what, ": ", message(code));
  }

  // The library that libtorch_cuda uses, or the one the system finds; null where there is none.
  static const NCCL *shared() {
    static const std::unique_ptr<NCCL> library = [] {
      std::unique_ptr<NCCL> found;
      void *handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_NOLOAD);
      if (handle == nullptr) handle = dlopen("libnccl.so.2", RTLD_NOW);
      if (handle == nullptr) return found;
      found = std::make_unique<NCCL>();
      bool is_whole = true;
      auto look_up = [&](auto &function, const char *name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
        is_whole = is_whole && function != nullptr;
      };
      look_up(found->version, "ncclGetVersion");
      look_up(found->message, "ncclGetErrorString");
      look_up(found->unique_id, "ncclGetUniqueId");
      look_up(found->open, "ncclCommInitRank");
      look_up(found->abort, "ncclCommAbort");
      look_up(found->state, "ncclCommGetAsyncError");
      look_up(found->all_reduce, "ncclAllReduce");
      look_up(found->reduce_scatter, "ncclReduceScatter");
      look_up(found->all_gather, "ncclAllGather");
      if (!is_whole) found.reset();
      return found;
    }();
    return library.get();
  }

  static int type(at::ScalarType type) {
    switch (type) {
      case at::kChar: return int8;
      case at::kByte: return uint8;
      case at::kInt: return int32;
      case at::kLong: return int64;
      case at::kHalf: return float16;
      case at::kFloat: return float32;
      case at::kDouble: return float64;
      case at::kBFloat16: return bfloat16;
      default: TORCH_CHECK(false, "tensors of dtype ", type, " cannot be exchanged");
    }
  }
};

}  // namespace

struct ct_group {
  int rank, size;
  bool serves;  // whether the meeting point goes with this process
  milliseconds timeout;
#ifdef VLSA_GLOO
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
#endif
  NCCL::Communicator communicator = nullptr;

  ~ct_group() {
    // Not destroyed in order, which would wait for processes that may be gone.
    if (communicator != nullptr) NCCL::shared()->abort(communicator);
  }

  // Runs one operation of NCCL on the tensor's stream and waits for it, at most the time-out.
  template <typename Launch> void run(const at::Tensor &tensor, Launch &&launch) {
    const NCCL &nccl = *NCCL::shared();
    TORCH_CHECK(communicator != nullptr, "the processes have exchanged no CUDA tensors so far: open NCCL first");
    c10::impl::VirtualGuardImpl guard(tensor.device().type());
    c10::Device before = guard.exchangeDevice(tensor.device());
    c10::Stream stream = guard.getStream(tensor.device());
    try {
      nccl.check(launch(nccl, static_cast<NCCL::Stream>(stream.native_handle())), "a collective");
      auto end = Clock::now() + timeout;
      while (!guard.queryStream(stream)) {
        int state = NCCL::success;
        nccl.check(nccl.state(communicator, &state), "asking for errors");
        if (state != NCCL::in_progress) nccl.check(state, "a collective");
        TORCH_CHECK(Clock::now() < end, "NCCL: timed out after ", timeout.count(), " ms");
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    } catch (...) {
      // A kernel that waits for a lost process would keep the device busy for ever.
      nccl.abort(communicator);
      communicator = nullptr;
      guard.uncheckedSetDevice(before);
      throw;
    }
    guard.uncheckedSetDevice(before);
  }
};

#ifdef VLSA_GLOO

namespace {

// Waits until somebody listens; libtorch's own waiting writes traces to standard error.
void await_listener(const char *host, uint16_t port, Clock::time_point end) {
  std::string reason = "nobody listens there";
  do {
    addrinfo wish{}, *found = nullptr;
    wish.ai_socktype = SOCK_STREAM;
    int code = getaddrinfo(host, std::to_string(port).c_str(), &wish, &found);
    if (code != 0) reason = gai_strerror(code);
    for (addrinfo *one = found; one != nullptr; one = one->ai_next) {
      int descriptor = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
      if (descriptor < 0) continue;
      bool is_open = connect(descriptor, one->ai_addr, one->ai_addrlen) == 0;
      if (!is_open) reason = std::strerror(errno);
      close(descriptor);
      if (is_open) return freeaddrinfo(found);
    }
    if (found != nullptr) freeaddrinfo(found);
    std::this_thread::sleep_for(milliseconds(100));
  } while (Clock::now() < end);
  TORCH_CHECK(false, reason);
}

std::string joined(int rank) { return "joined/" + std::to_string(rank); }

std::string alive(int rank) { return "alive/" + std::to_string(rank); }

// Whether `host` stands for this machine alone.
bool is_loopback(const std::string &host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

}  // namespace

bool ct_has_gloo(void) { return true; }

ct_status ct_group_new(const char *host, uint16_t port, bool serves, const char *prefix, int rank, int size,
                       double seconds, ct_group **out) {
  return guarded([&] {
    // What goes wrong is thrown; libtorch would write it to standard error as well, with traces.
    constexpr int fatal = 3;
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = fatal;
    auto group = std::make_unique<ct_group>();
    group->rank = rank;
    group->size = size;
    group->serves = serves;
    group->timeout = milliseconds(static_cast<int64_t>(seconds * 1000));
    if (!serves) await_listener(host, port, Clock::now() + group->timeout);
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    // Somebody listens, so that the connection itself takes no long time.
    options.timeout = std::min(group->timeout, milliseconds(30'000));
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    store->setTimeout(group->timeout);
    group->store = c10::make_intrusive<c10d::PrefixStore>(prefix, store);
    *out = group.release();
  });
}

ct_status ct_group_join(ct_group *group, int32_t *counts) {
  return guarded([&] {
    group->store->add(joined(group->rank), 1);
    auto end = Clock::now() + group->timeout;
    std::vector<std::string> keys;
    for (int rank = 0; rank < group->size; rank++) keys.push_back(joined(rank));
    while (!group->store->check(keys) && Clock::now() < end) std::this_thread::sleep_for(milliseconds(20));
    bool is_good = true;
    for (int rank = 0; rank < group->size; rank++) {
      bool is_there = group->store->check({keys[rank]});
      counts[rank] = is_there ? static_cast<int32_t>(group->store->add(keys[rank], 0)) : 0;
      is_good = is_good && counts[rank] == 1;
    }
    // The others are to see what is wrong, too.
    if (!is_good && group->serves) std::this_thread::sleep_for(milliseconds(1000));
  });
}

ct_status ct_group_connect(ct_group *group, const char *host) {
  return guarded([&] {
    auto options = c10d::ProcessGroupGloo::Options::create(group->timeout);
    using Gloo = c10d::ProcessGroupGloo;
    const char *interface = std::getenv("GLOO_SOCKET_IFNAME");
    if (interface != nullptr && *interface != 0) {
      options->devices.push_back(Gloo::createDeviceForInterface(interface));
    } else if (is_loopback(host)) {
      options->devices.push_back(Gloo::createDeviceForHostname("127.0.0.1"));
    } else {
      options->devices.push_back(Gloo::createDefaultDevice());
    }
    auto store = c10::make_intrusive<c10d::PrefixStore>("gloo", group->store);
    group->gloo = c10::make_intrusive<Gloo>(store, group->rank, group->size, options);
  });
}

ct_status ct_group_open_nccl(ct_group *group, int index) {
  return guarded([&] {
    at::Device target = device(index);
    const NCCL *nccl = NCCL::shared();
    TORCH_CHECK(nccl != nullptr, "libnccl.so.2 cannot be opened");
    NCCL::UniqueID id{};
    if (group->rank == 0) {
      nccl->check(nccl->unique_id(&id), "making an id");
      group->store->set("nccl", std::vector<uint8_t>(id.bytes, id.bytes + sizeof id.bytes));
    } else {
      std::vector<uint8_t> bytes = group->store->get("nccl");
      TORCH_CHECK(bytes.size() == sizeof id.bytes, "NCCL: an id of ", bytes.size(), " bytes");
      std::memcpy(id.bytes, bytes.data(), bytes.size());
    }
    c10::impl::VirtualGuardImpl guard(target.type());
    c10::Device before = guard.exchangeDevice(target);
    int code = nccl->open(&group->communicator, group->size, id, group->rank);
    guard.uncheckedSetDevice(before);
    nccl->check(code, "opening");
  });
}

void ct_group_release(ct_group *group) { delete group; }

ct_status ct_group_all_reduce(ct_group *group, ct_tensor *tensor) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::Tensor values = get(tensor);
    TORCH_CHECK(values.is_contiguous(), "a tensor that is not contiguous");
    if (values.is_cuda()) {
      return group->run(values, [&](const NCCL &nccl, NCCL::Stream stream) {
        return nccl.all_reduce(values.data_ptr(), values.data_ptr(), values.numel(),
                               NCCL::type(values.scalar_type()), NCCL::sum, group->communicator, stream);
      });
    }
    std::vector<at::Tensor> tensors{values};
    group->gloo->allreduce(tensors)->wait();
  });
}

ct_status ct_group_reduce_scatter(ct_group *group, const ct_tensor *input, ct_tensor *output) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::Tensor in = get(input), out = get(output);
    TORCH_CHECK(in.is_contiguous() && out.is_contiguous() && in.numel() == out.numel() * group->size &&
                    in.scalar_type() == out.scalar_type(),
                "a sum of shape ", in.sizes(), " does not scatter to ", out.sizes());
    if (in.is_cuda()) {
      return group->run(in, [&](const NCCL &nccl, NCCL::Stream stream) {
        return nccl.reduce_scatter(in.data_ptr(), out.data_ptr(), out.numel(), NCCL::type(in.scalar_type()),
                                   NCCL::sum, group->communicator, stream);
      });
    }
    group->gloo->_reduce_scatter_base(out, in)->wait();
  });
}

ct_status ct_group_all_gather(ct_group *group, const ct_tensor *input, ct_tensor *output) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::Tensor in = get(input), out = get(output);
    TORCH_CHECK(in.is_contiguous() && out.is_contiguous() && out.numel() == in.numel() * group->size &&
                    in.scalar_type() == out.scalar_type(),
                "parts of shape ", in.sizes(), " do not make ", out.sizes());
    if (in.is_cuda()) {
      return group->run(in, [&](const NCCL &nccl, NCCL::Stream stream) {
        return nccl.all_gather(in.data_ptr(), out.data_ptr(), in.numel(), NCCL::type(in.scalar_type()),
                               group->communicator, stream);
      });
    }
    group->gloo->_allgather_base(out, in)->wait();
  });
}

ct_status ct_group_survivors(ct_group *group, double grace, bool *survives) {
  return guarded([&] {
    auto end = Clock::now() + milliseconds(static_cast<int64_t>(grace * 1000));
    for (int rank = 0; rank < group->size; rank++) survives[rank] = rank == group->rank;
    group->store->setTimeout(milliseconds(static_cast<int64_t>(grace * 1000) + 1000));
    group->store->set(alive(group->rank), std::vector<uint8_t>{1});
    // Those that wait for this process alone notice by its connections' end.
    group->gloo.reset();
    bool everyone = false;
    while (!everyone && Clock::now() < end) {
      everyone = true;
      for (int rank = 0; rank < group->size; rank++) {
        survives[rank] = survives[rank] || group->store->check({alive(rank)});
        everyone = everyone && survives[rank];
      }
      if (!everyone) std::this_thread::sleep_for(milliseconds(50));
    }
  });
}

ct_status ct_group_leave(ct_group *group, double grace) {
  return guarded([&] {
    auto end = Clock::now() + milliseconds(static_cast<int64_t>(grace * 1000));
    group->store->setTimeout(milliseconds(static_cast<int64_t>(grace * 1000) + 1000));
    auto await_all = [&](const char *what) {
      std::vector<std::string> keys;
      for (int rank = 0; rank < group->size; rank++) keys.push_back(what + std::to_string(rank));
      group->store->set(keys[group->rank], std::vector<uint8_t>{1});
      while (!group->store->check(keys) && Clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
    };
    await_all("done/");
    if (group->serves) return await_all("left/");
    group->store->set("left/" + std::to_string(group->rank), std::vector<uint8_t>{1});
  });
}

#else  // no Gloo

namespace {

ct_status without_gloo() {
  return fail(CT_INVALID, "this build has no Gloo: its headers were not found");
}

}  // namespace

bool ct_has_gloo(void) { return false; }
ct_status ct_group_new(const char *, uint16_t, bool, const char *, int, int, double, ct_group **) {
  return without_gloo();
}
ct_status ct_group_join(ct_group *, int32_t *) { return without_gloo(); }
ct_status ct_group_connect(ct_group *, const char *) { return without_gloo(); }
ct_status ct_group_open_nccl(ct_group *, int) { return without_gloo(); }
void ct_group_release(ct_group *group) { delete group; }
ct_status ct_group_all_reduce(ct_group *, ct_tensor *) { return without_gloo(); }
ct_status ct_group_reduce_scatter(ct_group *, const ct_tensor *, ct_tensor *) { return without_gloo(); }
ct_status ct_group_all_gather(ct_group *, const ct_tensor *, ct_tensor *) { return without_gloo(); }
ct_status ct_group_survivors(ct_group *, double, bool *) { return without_gloo(); }
ct_status ct_group_leave(ct_group *, double) { return without_gloo(); }

#endif

int ct_nccl_version(void) {
  (void)ct_cuda_count();  // opens libtorch_cuda, which brings NCCL along
  int version = 0;
  const NCCL *nccl = NCCL::shared();
  return nccl != nullptr && nccl->version(&version) == NCCL::success ? version : 0;
}
